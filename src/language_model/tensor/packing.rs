//! Sequences of a batch in groups for attention, and where their rows lie in these.

use candle_core::{Device, Result, Tensor};

use super::operations::NOWHERE;
use crate::language_model::Configuration;
use crate::language_model::layout::{Asked, Layout};

/// Most scores of a group: 2^26, 128 MiB in half precision.
pub(super) const SCORES_AT_ONCE: usize = 1 << 26;

/// Sequences of similar lengths side by side, padded to the longest.
#[derive(Debug)]
pub(super) struct Group {
    /// B.
    pub(super) batch: usize,
    /// Q, most queries of a sequence.
    pub(super) queries: usize,
    /// K, most keys of a sequence, those of a shared prefix first: a key's column is its position.
    pub(super) keys: usize,
    /// Columns of the shared prefix.
    pub(super) prefix: usize,
    /// `[B·Q]` among the rows asked for; padding is [`NOWHERE`].
    pub(super) query_rows: Tensor,
    /// `[B·K]` among all rows; padding is [`NOWHERE`].
    pub(super) key_rows: Tensor,
    /// The same with the shared prefix nowhere: the rows that no other sequence has.
    pub(super) own_rows: Tensor,
    /// `[B, Q, 2]`: the columns that a query sees.
    pub(super) seen: Tensor,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Packing {
    pub(super) groups: Vec<Group>,
}

/// What is known of a segment before it is in a group.
struct Member {
    segment: usize,
    queries: std::ops::Range<usize>,
    /// Keys in all, with the prefix that it sees.
    keys: usize,
}

impl Packing {
    pub(super) fn new(
        configuration: &Configuration,
        layout: &Layout,
        asked: &Asked,
        device: &Device,
    ) -> Result<Self> {
        let mut members = Vec::new();
        let mut begin = 0;
        for (segment, count) in asked.counts.iter().enumerate() {
            let of = layout.segments[segment];
            let shared = if of.after_prefix { layout.prefix } else { 0 };
            if *count > 0 {
                members.push(Member {
                    segment,
                    queries: begin..begin + count,
                    keys: shared + of.length,
                });
            }
            begin += count;
        }
        // The prefix stands alone: it sees no other. Equal lengths keep their order.
        let alone = |member: &Member| !layout.segments[member.segment].after_prefix;
        members.sort_by_key(|member| (alone(member), std::cmp::Reverse(member.keys)));
        let mut groups: Vec<Vec<Member>> = Vec::new();
        for member in members {
            let fits = groups.last().is_some_and(|group| {
                let queries = group.iter().map(|one| one.queries.len());
                let queries = queries.max().unwrap_or(0).max(member.queries.len());
                let scores = configuration.heads * (group.len() + 1) * queries * group[0].keys;
                scores <= SCORES_AT_ONCE && alone(&group[0]) == alone(&member)
            });
            match groups.last_mut().filter(|_| fits) {
                Some(group) => group.push(member),
                None => groups.push(vec![member]),
            }
        }
        let groups = groups.iter().map(|members| {
            let batch = members.len();
            let queries = members.iter().map(|one| one.queries.len());
            let queries = queries.max().unwrap_or(0);
            let keys = members.iter().map(|one| one.keys).max().unwrap_or(0);
            let prefix = if alone(&members[0]) { 0 } else { layout.prefix };
            let mut query_rows = vec![NOWHERE; batch * queries];
            let mut key_rows = vec![NOWHERE; batch * keys];
            let mut own_rows = vec![NOWHERE; batch * keys];
            let mut seen = vec![0_u32; batch * queries * 2];
            for (slot, member) in members.iter().enumerate() {
                let of = layout.segments[member.segment];
                for at in 0..queries {
                    let place = slot * queries + at;
                    // Padding sees one key, so that its chances are numbers.
                    seen[2 * place + 1] = 1;
                    let Some(query) = member.queries.clone().nth(at) else {
                        continue;
                    };
                    query_rows[place] = query as u32;
                    let end = asked.positions[query] + 1;
                    let window = configuration.sliding_window.unwrap_or(end);
                    seen[2 * place] = end.saturating_sub(window) as u32;
                    seen[2 * place + 1] = end as u32;
                }
                for at in 0..prefix {
                    key_rows[slot * keys + at] = at as u32;
                }
                for at in 0..of.length {
                    let row = (of.begin + at) as u32;
                    key_rows[slot * keys + prefix + at] = row;
                    own_rows[slot * keys + prefix + at] = row;
                }
            }
            Ok(Group {
                batch,
                queries,
                keys,
                prefix,
                query_rows: Tensor::from_vec(query_rows, batch * queries, device)?,
                key_rows: Tensor::from_vec(key_rows, batch * keys, device)?,
                own_rows: Tensor::from_vec(own_rows, batch * keys, device)?,
                seen: Tensor::from_vec(seen, (batch, queries, 2), device)?,
            })
        });
        Ok(Self {
            groups: groups.collect::<Result<_>>()?,
        })
    }
}
