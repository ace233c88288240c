//! `postrider endpoint stats`: how an endpoint is doing.

use clap::Args;
use serde_json::Value;

use super::Context;
use super::endpoint::Which;
use crate::client::Client;
use crate::exit::Failure;
use crate::output::{card, field, time};

/// Which endpoint, and when.
#[derive(Args, Debug)]
pub(crate) struct Stats {
    #[command(flatten)]
    which: Which,
    /// Those that ended from then on, such as 2026-01-31T12:00:00Z; all that are kept if not given
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Those that ended before this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
}

impl Stats {
    /// Does it.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let path = self.which.path(&["stats"])?.query("since", self.since).query("until", self.until);
        context.output.answer(&client.get(path).await?, show)
    }
}

fn show(stats: &Value) -> String {
    card(&[
        ("success", field(stats, "success")),
        ("fail", field(stats, "fail")),
        ("canceled", field(stats, "canceled")),
        ("since", time(stats, "since")),
        ("pending now", field(stats, "pending")),
        ("sending now", field(stats, "sending")),
        ("filtered since start", field(stats, "filtered")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stats_say_what_is_of_now() {
        let stats =
            json!({ "success": 5, "pending": 1, "sending": 0, "fail": 2, "canceled": 0, "filtered": 3, "since": null });
        let expected = "\
            success               5\n\
            fail                  2\n\
            canceled              0\n\
            pending now           1\n\
            sending now           0\n\
            filtered since start  3\n";
        assert_eq!(show(&stats), expected);
    }
}
