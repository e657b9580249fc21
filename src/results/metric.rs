//! How a metric's values are shown: name, scale, direction, and what leaves it undefined.

/// How to show the values of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricStyle {
    /// The name in the `metric` column.
    pub name: &'static str,
    /// The name in tables and figures.
    pub display: &'static str,
    /// What values are multiplied by when shown.
    pub scale: f64,
    /// Digits after the point when shown.
    pub digits: usize,
    /// Whether more is better; none where the question has no answer.
    pub higher_is_better: Option<bool>,
    /// What is aggregated, as a reader needs to know it to judge a difference.
    pub unit: &'static str,
    /// What a row's `n` counts.
    pub counts: &'static str,
    /// What makes the value undefined.
    pub undefined_when: &'static str,
}

/// All metrics known by name, in the order tables show them; the first is the paper's.
pub const METRICS: &[MetricStyle] = &[
    MetricStyle {
        name: "auc",
        display: "AUC",
        scale: 100.0,
        digits: 2,
        higher_is_better: Some(true),
        unit: "over all rows of the split",
        counts: "rows",
        undefined_when: "all its rows have the same label, or a score is missing",
    },
    MetricStyle {
        name: "uauc",
        display: "UAUC",
        scale: 100.0,
        digits: 2,
        higher_is_better: Some(true),
        unit: "per user, then averaged over users who have both labels",
        counts: "users",
        undefined_when: "no user has rows of both labels",
    },
    MetricStyle {
        name: "log_loss",
        display: "log-loss",
        scale: 1.0,
        digits: 4,
        higher_is_better: Some(false),
        unit: "natural logarithm, mean over rows",
        counts: "rows",
        undefined_when: "there is no row, or the score is not a probability",
    },
    // HR@k and NDCG@k at the cuts people use; others are shown under their plain names.
    list("hit_rate", "HR"),
    list("hit_rate@1", "HR@1"),
    list("hit_rate@3", "HR@3"),
    list("hit_rate@5", "HR@5"),
    list("hit_rate@10", "HR@10"),
    list("hit_rate@20", "HR@20"),
    list("ndcg", "NDCG"),
    list("ndcg@3", "NDCG@3"),
    list("ndcg@5", "NDCG@5"),
    list("ndcg@10", "NDCG@10"),
    list("ndcg@20", "NDCG@20"),
    MetricStyle {
        name: "answered",
        display: "answered",
        scale: 100.0,
        digits: 2,
        higher_is_better: None,
        unit: "per cent of the rows that have a score; the others are left out of every other \
               metric",
        counts: "rows",
        undefined_when: "there is no row",
    },
];

/// A metric of candidate lists.
const fn list(name: &'static str, display: &'static str) -> MetricStyle {
    MetricStyle {
        name,
        display,
        scale: 100.0,
        digits: 2,
        higher_is_better: Some(true),
        unit: "over lists of candidates, one liked item among sampled ones",
        counts: "lists",
        undefined_when: "no list has a liked and a disliked item",
    }
}

/// The style of a metric that is not in [`METRICS`]: shown as it is.
pub const PLAIN: MetricStyle = MetricStyle {
    name: "",
    display: "",
    scale: 1.0,
    digits: 4,
    higher_is_better: None,
    unit: "as reported by the stage",
    counts: "units",
    undefined_when: "the stage could not compute it",
};

/// The style of the metric `name`.
#[must_use]
pub fn style(name: &str) -> &'static MetricStyle {
    METRICS
        .iter()
        .find(|metric| metric.name == name)
        .unwrap_or(&PLAIN)
}

/// Where the metric stands in [`METRICS`]; unknown ones come after all others.
#[must_use]
pub fn position(name: &str) -> usize {
    METRICS
        .iter()
        .position(|metric| metric.name == name)
        .unwrap_or(METRICS.len())
}

impl MetricStyle {
    /// Writes a value in the unit of display.
    #[must_use]
    pub fn show(&self, value: f64) -> String {
        format!("{:.*}", self.digits, value * self.scale)
    }

    /// The heading of a table: `AUC × 100`.
    #[must_use]
    pub fn heading(&self, name: &str) -> String {
        let display = if self.display.is_empty() {
            name
        } else {
            self.display
        };
        // Only 1 and 100 occur; the comparison is with a constant that was never computed.
        if self.scale > 1.0 {
            format!("{display} × {:.0}", self.scale)
        } else {
            display.to_owned()
        }
    }
}
