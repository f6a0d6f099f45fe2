//! Cases that need not be met yet, each with the reason.

/// Of `transformers.json`.
pub const FIRST: &[(&str, &str)] = &[];

/// Of `transformers_more.json`.
pub const MORE: &[(&str, &str)] = &[("pieces/linear_warmup_decay", SCHEDULE)];

const SCHEDULE: &str = "a schedule of the learning rate, which the tests of kd-train compare";
