//! The types of `[retry]`'s values.

use postrider_model::bounds::Bounds as _;
use postrider_model::retry::{DelayS, RetrySchedule};
use postrider_model::status_pattern::StatusPattern;

use super::value::{Raw, Value, number_list, quoted_list};

impl Value for RetrySchedule {
    const IS_TEXT: bool = false;
    const TYPE: &'static str = "a list of seconds";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let allowed = |problem| format!("{problem}; {}", DelayS::allowed());
        let delays = raw.list::<Self, _>(|member| member.number::<u64>().map_err(allowed))?;
        Self::try_from(delays).map_err(|error| error.to_string())
    }

    fn show(&self) -> Option<String> {
        number_list(Vec::<u64>::from(self.clone()))
    }
}

impl Value for Vec<StatusPattern> {
    const IS_TEXT: bool = false;
    const TYPE: &'static str = "a list of status codes or classes, such as `404` or `4xx`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        raw.list::<Self, _>(|member| member.text::<String>()?.parse().map_err(|error| format!("is wrong: {error}")))
    }

    fn show(&self) -> Option<String> {
        quoted_list(self)
    }
}
