//! What the configuration must be, by what was asked of it and what was read: memory
//! tells nothing that is not on disk (W4).

use postrider_model::endpoint::Endpoint;

use crate::plan::{Plan, What};

/// One thing that somebody sets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setting {
    /// What it is; `None` if that is not known.
    sure: Option<bool>,
    /// What it was asked to be, and nobody has answered yet.
    asked: Option<bool>,
}

/// What is set of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EndpointSettings {
    is_there: Setting,
    paused: Setting,
    /// It has the second of its policies.
    changed: Setting,
    disabled: Setting,
    /// When it was first read that an answer has disabled it.
    disabled_ms: u64,
    /// It has answered that it wants nothing more.
    pub(crate) gone: bool,
}

/// All that is set.
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<EndpointSettings>,
    paused: Setting,
}

impl Setting {
    fn ask(&mut self, value: bool) {
        self.asked = Some(value);
        self.sure = self.sure.filter(|sure| *sure == value);
    }

    fn answer(&mut self, done: bool) {
        self.sure = self.asked.take().filter(|_| done).or(self.sure);
    }

    /// Whether it may be so; and if it cannot change back, it must be so from now on.
    fn read(&mut self, value: bool) -> bool {
        if self.asked.is_none_or(|asked| asked == value) {
            self.sure.get_or_insert(value);
        }
        self.sure.is_none_or(|sure| sure == value)
    }
}

impl EndpointSettings {
    /// Which of its policies is in force, if that is known.
    pub(crate) fn policy(&self) -> Option<usize> {
        self.changed.sure.filter(|_| self.changed.asked.is_none()).map(usize::from)
    }

    /// Each setting that a deed is about, and what it is to be.
    fn of(&mut self, what: What) -> Vec<(&mut Setting, bool)> {
        match what {
            What::Create(_) => vec![(&mut self.is_there, true), (&mut self.changed, false)],
            What::Delete(_) => vec![(&mut self.is_there, false)],
            What::ChangePolicy(_) => vec![(&mut self.changed, true)],
            What::Enable(_) => vec![(&mut self.changed, true), (&mut self.disabled, false)],
            What::Pause(_, paused) => vec![(&mut self.paused, paused)],
            _ => vec![],
        }
    }

    /// Gives the name of what cannot be so.
    fn read(
        &mut self,
        found: Option<&Endpoint>,
        first: &postrider_model::policy::Policy,
        now_ms: u64,
    ) -> Option<&'static str> {
        if !self.is_there.read(found.is_some()) {
            return Some("whether it is there");
        }
        let endpoint = found?;
        // An answer may disable it at any moment.
        if endpoint.disabled.is_some() && self.gone && self.disabled.sure != Some(true) {
            (self.disabled.sure, self.disabled_ms) = (Some(true), now_ms);
        }
        let read = [
            ("whether it is paused", self.paused.read(endpoint.paused.is_some())),
            ("its policy", self.changed.read(endpoint.fields.policy != *first)),
            ("whether it is disabled", self.disabled.read(endpoint.disabled.is_some())),
        ];
        read.into_iter().find(|(_, may)| !may).map(|(what, _)| what)
    }
}

impl Settings {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self { endpoints: vec![EndpointSettings::default(); endpoints], paused: Setting::default() }
    }

    fn of(&mut self, what: What) -> Vec<(&mut Setting, bool)> {
        match what {
            What::PauseAll(paused) => vec![(&mut self.paused, paused)],
            What::Create(number)
            | What::Delete(number)
            | What::ChangePolicy(number)
            | What::Enable(number)
            | What::Pause(number, _) => {
                self.endpoints.get_mut(number).map(|endpoint| endpoint.of(what)).unwrap_or_default()
            }
            _ => vec![],
        }
    }

    /// Somebody asks for a change.
    pub(crate) fn asked(&mut self, what: What) {
        self.of(what).into_iter().for_each(|(setting, value)| setting.ask(value));
    }

    /// Somebody is answered that it is done, or that it cannot be.
    pub(crate) fn answered(&mut self, what: What, done: bool) {
        self.of(what).into_iter().for_each(|(setting, _)| setting.answer(done));
    }

    /// The process is gone. Nobody is answered any more, and what an outcome has done may
    /// be lost with it.
    pub(crate) fn died(&mut self, unsynced_from: u64) {
        self.paused.answer(false);
        for endpoint in &mut self.endpoints {
            let EndpointSettings { is_there, paused, changed, disabled, .. } = endpoint;
            [is_there, paused, changed, disabled].into_iter().for_each(|setting| setting.answer(false));
            if endpoint.disabled_ms >= unsynced_from && endpoint.disabled.sure == Some(true) {
                endpoint.disabled.sure = None;
            }
        }
    }

    /// The store tells what is set: whether all is paused, and each endpoint by its number.
    /// Gives what cannot be so.
    pub(crate) fn read(
        &mut self,
        plan: &Plan,
        (paused, found): (bool, &[Option<std::sync::Arc<Endpoint>>]),
        now_ms: u64,
    ) -> Option<String> {
        if !self.paused.read(paused) {
            return Some(format!("dispatch is paused: {paused}"));
        }
        let all = self.endpoints.iter_mut().zip(&plan.endpoints).zip(found).enumerate();
        all.into_iter().find_map(|(number, ((known, planned), found))| {
            let wrong = known.read(found.as_deref(), &planned.policies[0], now_ms)?;
            Some(format!("endpoint {number}: {wrong}"))
        })
    }
}

#[cfg(test)]
mod tests;
