//! `postrider salvage`: makes a damaged store usable again.

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use crate::exit::Failure;
use crate::output::{card, field};
use crate::wiring;

/// Makes a damaged store usable again: keeps what can be read, and says what is lost
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cp -a ./postrider-data ./postrider-data.damaged\n  \
                        postrider salvage --data-dir ./postrider-data\n\n\
                        No server may work on the directory meanwhile. Nothing is deleted: damaged files stay beside it.")]
pub(crate) struct Salvage {}

impl Salvage {
    /// Does it.
    ///
    /// # Errors
    /// A server works on the directory, there is no store in it, or the file system fails.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let salvaged = wiring::salvage(&config)?;
        let answer = json!({
            "records": salvaged.records,
            "lost": salvaged.lost,
            "payloadsLost": salvaged.payloads_lost,
            "deliveriesLost": salvaged.deliveries_lost,
            "checkpointAside": salvaged.checkpoint_aside.map(|path| path.display().to_string()),
        });
        context.output.answer(&answer.into(), show)?;
        context.output.note("the store can be used again: `postrider serve`");
        Ok(())
    }
}

fn show(salvaged: &Value) -> String {
    let lost = salvaged.get("lost").and_then(Value::as_array).into_iter().flatten();
    let lost: String = lost.filter_map(Value::as_str).map(|what| format!("lost: {what}\n")).collect();
    let figures = card(&[
        ("records read", field(salvaged, "records")),
        ("dead letters for lost payloads", field(salvaged, "payloadsLost")),
        ("deliveries lost with their messages", field(salvaged, "deliveriesLost")),
        ("damaged checkpoint", field(salvaged, "checkpointAside")),
    ]);
    format!("{lost}{figures}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_first() {
        let lost = ["segment 3 at 100"];
        let answer =
            json!({ "records": 7, "lost": lost, "payloadsLost": 1, "deliveriesLost": 2, "checkpointAside": null });
        let expected = "\
            lost: segment 3 at 100\n\
            records read                         7\n\
            dead letters for lost payloads       1\n\
            deliveries lost with their messages  2\n";
        assert_eq!(show(&answer), expected);
    }
}
