//! The methods a result set may name: how they are shown, and which of them are trivial.
//!
//! A method that is not listed here is allowed (a user's own program, say): it is shown under its
//! own name and counts as a system.

use std::cmp::Ordering;
use std::fmt;

use super::natural::natural;

/// Whether a method is a system under study or a yardstick for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Uses no model: whoever cannot beat it has learnt nothing worth a model.
    Trivial,
    /// A system under study.
    System,
}

/// A method known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodInfo {
    /// The name in YAML and in the `method` column.
    pub name: &'static str,
    /// The name in tables and figures.
    pub display: &'static str,
    /// Yardstick or system.
    pub group: Group,
}

/// All methods known by name, in the order tables show them.
pub const METHODS: &[MethodInfo] = &[
    method("majority", "majority", Group::Trivial),
    method("item_mean", "item mean", Group::Trivial),
    method("like_share", "share of likes", Group::Trivial),
    method("gru4rec", "GRU4Rec", Group::System),
    method("caser", "Caser", Group::System),
    method("sasrec", "SASRec", Group::System),
    method("dros", "DROS", Group::System),
    method("gru_bert", "GRU-BERT", Group::System),
    method("dros_bert", "DROS-BERT", Group::System),
    method("text_davinci_002", "Text-Davinci-002", Group::System),
    method("text_davinci_003", "Text-Davinci-003", Group::System),
    method("chatgpt", "ChatGPT", Group::System),
    method("tallrec", "TALLRec", Group::System),
];

/// The variants of TALLRec, in the order tables show them: the bare backbone, alpaca tuning only,
/// rec-tuning only, both.
pub const VARIANTS: &[&str] = &["base", "AT", "RT", "AT+RT"];

const fn method(name: &'static str, display: &'static str, group: Group) -> MethodInfo {
    MethodInfo {
        name,
        display,
        group,
    }
}

/// Finds a method by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static MethodInfo> {
    METHODS.iter().find(|method| method.name == name)
}

/// A method together with its variant: one row of a table, one line of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct System {
    /// Name of the method, as in [`MethodInfo::name`].
    pub method: String,
    /// `AT`, `RT`, `AT+RT`, or whatever a method's own variants are called; where several
    /// backbones stand side by side, with `@` and the backbone's name after it.
    pub variant: Option<String>,
}

/// Stands between what was tuned and the backbone it was tuned on.
const ON: char = '@';

impl System {
    /// A method with a variant or without.
    #[must_use]
    pub fn new(method: &str, variant: Option<&str>) -> Self {
        Self {
            method: method.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// The variant of what was made on a backbone that has a name; `variant` may be empty.
    #[must_use]
    pub fn variant_with(variant: &str, backbone: &str) -> String {
        format!("{variant}{ON}{backbone}")
    }

    /// What was tuned: the variant without a backbone.
    #[must_use]
    pub fn tuning(&self) -> Option<&str> {
        let variant = self.variant.as_deref()?;
        let tuning = variant.split_once(ON).map_or(variant, |(tuning, _)| tuning);
        (!tuning.is_empty()).then_some(tuning)
    }

    /// The backbone, where several stand side by side.
    #[must_use]
    pub fn backbone(&self) -> Option<&str> {
        Some(self.variant.as_deref()?.split_once(ON)?.1)
    }

    /// Yardstick or system; an unknown method is a system.
    #[must_use]
    pub fn group(&self) -> Group {
        find(&self.method).map_or(Group::System, |method| method.group)
    }

    /// Where the method stands in [`METHODS`]; unknown ones come after all others.
    #[must_use]
    pub fn position(&self) -> usize {
        METHODS
            .iter()
            .position(|method| method.name == self.method)
            .unwrap_or(METHODS.len())
    }

    fn variant_position(&self) -> usize {
        match self.tuning() {
            None => 0,
            Some(variant) => VARIANTS
                .iter()
                .position(|known| *known == variant)
                .map_or(VARIANTS.len() + 1, |position| position + 1),
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = find(&self.method).map_or(self.method.as_str(), |method| method.display);
        let parts: Vec<&str> = self.tuning().into_iter().chain(self.backbone()).collect();
        if parts.is_empty() {
            return formatter.write_str(name);
        }
        write!(formatter, "{name} ({})", parts.join(", "))
    }
}

impl Ord for System {
    fn cmp(&self, other: &Self) -> Ordering {
        self.group()
            .cmp(&other.group())
            .then_with(|| self.position().cmp(&other.position()))
            .then_with(|| natural(&self.method, &other.method))
            .then_with(|| self.variant_position().cmp(&other.variant_position()))
            .then_with(|| {
                natural(
                    self.variant.as_deref().unwrap_or(""),
                    other.variant.as_deref().unwrap_or(""),
                )
            })
    }
}

impl PartialOrd for System {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_stand_in_the_order_of_the_registry() {
        let mut systems = [
            System::new("zebra", None),
            System::new("tallrec", Some("AT+RT@b")),
            System::new("tallrec", Some("AT+RT@a")),
            System::new("tallrec", Some("AT")),
            System::new("zebra", Some("@a")),
            System::new("like_share", None),
            System::new("gru4rec", None),
        ];
        systems.sort();
        let shown: Vec<String> = systems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "share of likes",
                "GRU4Rec",
                "TALLRec (AT)",
                "TALLRec (AT+RT, a)",
                "TALLRec (AT+RT, b)",
                "zebra",
                "zebra (a)"
            ]
        );
    }
}
