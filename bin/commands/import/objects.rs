//! Event types, applications and endpoints: found, made or changed.

use serde_json::{Map, Value, json};

use super::spec::{self, APPLICATION, ENDPOINT, EVENT_TYPE};
use super::{Importer, Place};
use crate::client::{Answer, Path};
use crate::exchange::{BadLine, Line};
use crate::exit::Failure;
use crate::output::field;

/// What stands before the id of the file where something had no uid: by it a repeated import
/// finds what the first has made.
const MADE_UID: &str = "import.";

/// What is to come of a line.
enum Need {
    Create,
    Update,
    Nothing,
}

impl Importer<'_> {
    pub(super) async fn event_type(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let name: String = line.required("name")?;
        let wanted = spec::of_line(EVENT_TYPE, line)?;
        let path = Path::new(["event-type", &name])?;
        let found = self.client.find(path.clone()).await.map_err(|error| failed(line, error.into()))?;
        match self.need(line, &wanted, found.map(|found| spec::of_answer(EVENT_TYPE, &found)))? {
            Need::Create => {
                let mut body = spec::body(&wanted);
                body.insert("name".into(), name.into());
                self.post(line, Path::new(["event-type"])?, body.into()).await.map(drop)
            }
            Need::Update => self.put(line, path, wanted.into()).await,
            Need::Nothing => Ok(()),
        }
    }

    pub(super) async fn application(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let id = line.id("id")?;
        let mut wanted = spec::of_line(APPLICATION, line)?;
        let found = self.find(line, &[], &id, &mut wanted).await?;
        let present = found.as_ref().map(|found| spec::of_answer(APPLICATION, found));
        let name = match self.need(line, &wanted, present)? {
            Need::Create => {
                let made = self.post(line, Path::new(["app"])?, spec::body(&wanted).into()).await?;
                made.map_or_else(|| field(&wanted.into(), "uid"), |made| field(&made, "id"))
            }
            Need::Update => {
                let name = found.as_ref().map(|found| field(found, "id")).unwrap_or_default();
                self.put(line, Path::new(["app", &name])?, wanted.into()).await?;
                name
            }
            Need::Nothing => found.as_ref().map(|found| field(found, "id")).unwrap_or_default(),
        };
        let exists = found.is_some() || !self.is_plan;
        self.apps.insert(id, Place { app: String::new(), name, exists });
        Ok(())
    }

    pub(super) async fn endpoint(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let (id, app) = (line.id("id")?, line.id("appId")?);
        let Some(app) = self.apps.get(&app).cloned() else {
            return Err(line.bad("appId", "is no application of a line before this one").into());
        };
        let mut wanted = spec::of_line(ENDPOINT, line)?;
        let within = if app.exists { vec!["app", app.name.as_str(), "endpoint"] } else { vec![] };
        let found = if app.exists { self.find(line, &within, &id, &mut wanted).await? } else { None };
        if found.is_none() {
            name_by_id(&id, &mut wanted);
        }
        let present = match &found {
            Some(found) => Some(self.present_endpoint(line, &app.name, found).await?),
            None => None,
        };
        let is_unfinished =
            found.as_ref().zip(present.as_ref()).is_some_and(|(found, present)| is_unfinished(&wanted, present, found));
        let present_name = found.as_ref().map(|found| field(found, "id")).unwrap_or_default();
        let name = if is_unfinished {
            self.tally.created += 1;
            self.finish_endpoint(line, [&app.name, &present_name], &wanted).await?;
            present_name
        } else {
            match self.need(line, &wanted, present.clone())? {
                Need::Create => self.create_endpoint(line, &app.name, &wanted).await?,
                Need::Update => {
                    self.update_endpoint(line, [&app.name, &present_name], wanted, &present.unwrap_or_default())
                        .await?;
                    present_name
                }
                Need::Nothing => present_name,
            }
        };
        let exists = found.is_some() || !self.is_plan;
        self.endpoints.insert(id, Place { app: app.name, name, exists });
        Ok(())
    }

    /// By its uid, else by its id: into the server from which it came, or where its uid was
    /// changed. `within` is where it lies.
    async fn find(
        &self,
        line: &Line<'_>,
        within: &[&str],
        id: &str,
        wanted: &mut Map<String, Value>,
    ) -> Result<Option<Answer>, Failure> {
        let within = if within.is_empty() { &["app"] } else { within };
        let uid = wanted.get("uid").and_then(Value::as_str).map(str::to_owned);
        let made = format!("{MADE_UID}{id}");
        for name in [uid.as_deref(), Some(id), Some(&made)].into_iter().flatten() {
            let path = Path::new(within.iter().copied().chain([name]))?;
            if let Some(found) = self.client.find(path).await.map_err(|error| failed(line, error.into()))? {
                if name == made && uid.is_none() {
                    name_by_id(id, wanted);
                }
                return Ok(Some(found));
            }
        }
        name_by_id(id, wanted);
        Ok(None)
    }

    /// Compares what is wanted with what is there.
    fn need(
        &mut self,
        line: &Line<'_>,
        wanted: &Map<String, Value>,
        present: Option<Map<String, Value>>,
    ) -> Result<Need, Failure> {
        let Some(present) = present else {
            self.tally.created += 1;
            return Ok(Need::Create);
        };
        let wanted = &spec::as_shown(wanted);
        match spec::difference(wanted, &present) {
            None => {
                self.tally.same += 1;
                Ok(Need::Nothing)
            }
            Some(_) if self.wanted.update => {
                self.tally.updated += 1;
                Ok(Need::Update)
            }
            Some(name) => {
                let shown = |of: &Map<String, Value>| shorten(&of.get(name).cloned().unwrap_or_default().to_string());
                let what = format!("is {}, and {} in the server", shown(wanted), shown(&present));
                Err(Failure::from(line.bad(name, what)).hint("--update changes what is in the server"))
            }
        }
    }

    /// An endpoint as the server shows it, with its headers.
    async fn present_endpoint(&self, line: &Line<'_>, app: &str, found: &Value) -> Result<Map<String, Value>, Failure> {
        let path = Path::new(["app", app, "endpoint", &field(found, "id"), "headers"])?;
        let headers = self.client.get(path).await.map_err(|error| failed(line, error.into()))?;
        let mut present = spec::of_answer(ENDPOINT, found);
        present.insert("headers".into(), headers.get("headers").cloned().unwrap_or_else(|| json!({})));
        Ok(present)
    }

    async fn create_endpoint(
        &mut self,
        line: &Line<'_>,
        app: &str,
        wanted: &Map<String, Value>,
    ) -> Result<String, Failure> {
        if self.masked.note(line, wanted) {
            // In a plan all such lines are gathered; else it was there when that was made.
            let refused = if self.is_plan { Ok(()) } else { std::mem::take(&mut self.masked).finish() };
            return refused.map(|()| field(&wanted.clone().into(), "uid"));
        }
        let hidden: Vec<String> = line.get("sensitiveHeaders")?.unwrap_or_default();
        if !hidden.is_empty() {
            let what = format!("{} are not in the file: set them by `PATCH .../headers`", hidden.join(", "));
            self.note(line.bad("sensitiveHeaders", what));
        }
        let mut body = spec::body(wanted);
        match line.get::<String>("secret")? {
            // Of a pair only the public half is known.
            Some(secret) if !secret.starts_with("whpk_") => drop(body.insert("secret".into(), secret.into())),
            _ => self.tally.new_secrets += 1,
        }
        body.remove("paused");
        let is_paused = is(wanted, "paused");
        if is_paused {
            // So that nothing is sent to it before it is paused.
            body.insert("disabled".into(), json!(true));
        }
        let Some(made) = self.post(line, Path::new(["app", app, "endpoint"])?, body.into()).await? else {
            return Ok(field(&wanted.clone().into(), "uid"));
        };
        let name = field(&made, "id");
        if is_paused {
            self.finish_endpoint(line, [app, &name], wanted).await?;
        }
        Ok(name)
    }

    /// Pauses one that was made disabled, then enables it, if that is wanted.
    async fn finish_endpoint(
        &self,
        line: &Line<'_>,
        [app, name]: [&str; 2],
        wanted: &Map<String, Value>,
    ) -> Result<(), Failure> {
        self.pause(line, [app, name], true).await?;
        if self.is_plan || is(wanted, "disabled") {
            return Ok(());
        }
        let path = Path::new(["app", app, "endpoint", name])?;
        let enabled = self.client.patch(path, &json!({ "disabled": false })).await;
        enabled.map(drop).map_err(|error| failed(line, error.into()))
    }

    async fn update_endpoint(
        &self,
        line: &Line<'_>,
        [app, name]: [&str; 2],
        mut wanted: Map<String, Value>,
        present: &Map<String, Value>,
    ) -> Result<(), Failure> {
        let is_paused = is(&wanted, "paused");
        wanted.remove("paused");
        // Before all else: it may be enabled now, and what has gathered must not go out.
        if is_paused && !is(present, "paused") {
            self.pause(line, [app, name], true).await?;
        }
        // Those whose values are not shown stay.
        let headers = wanted.remove("headers").unwrap_or_default();
        let gone = present.get("headers").and_then(Value::as_object).into_iter().flatten();
        let gone: Vec<_> = gone.map(|(name, _)| name).filter(|name| headers.get(name.as_str()).is_none()).collect();
        self.put(line, Path::new(["app", app, "endpoint", name])?, wanted.into()).await?;
        if !self.is_plan && present.get("headers") != Some(&headers) {
            let path = Path::new(["app", app, "endpoint", name, "headers"])?;
            let patched = self.client.patch(path, &json!({ "headers": headers, "deleteHeaders": gone })).await;
            patched.map_err(|error| failed(line, error.into()))?;
        }
        // After all else: nothing goes out before it is as it is to be.
        if !is_paused && is(present, "paused") {
            self.pause(line, [app, name], false).await?;
        }
        Ok(())
    }

    async fn pause(&self, line: &Line<'_>, [app, name]: [&str; 2], is_paused: bool) -> Result<(), Failure> {
        if self.is_plan {
            return Ok(());
        }
        let path = Path::new(["app", app, "endpoint", name, if is_paused { "pause" } else { "resume" }])?;
        self.client.post(path, &json!({})).await.map(drop).map_err(|error| failed(line, error.into()))
    }

    /// `None` in a plan.
    async fn post(&self, line: &Line<'_>, path: Path, body: Value) -> Result<Option<Answer>, Failure> {
        if self.is_plan {
            return Ok(None);
        }
        self.client.post(path, &body).await.map(Some).map_err(|error| failed(line, error.into()))
    }

    async fn put(&self, line: &Line<'_>, path: Path, body: Value) -> Result<(), Failure> {
        if self.is_plan {
            return Ok(());
        }
        self.client.put(path, &body).await.map(drop).map_err(|error| failed(line, error.into()))
    }
}

/// Whether an endpoint is as an import leaves it that breaks off after it has made it: disabled by nothing but
/// that, never changed since, and to be paused.
fn is_unfinished(wanted: &Map<String, Value>, present: &Map<String, Value>, found: &Value) -> bool {
    let (mut as_made, mut as_paused) = (wanted.clone(), wanted.clone());
    for (fields, paused) in [(&mut as_made, false), (&mut as_paused, true)] {
        fields.insert("disabled".into(), json!(true));
        fields.insert("paused".into(), json!(paused));
    }
    let is_as_left = [as_made, as_paused].iter().any(|left| spec::difference(left, present).is_none());
    let is_untouched = found.get("createdAt") == found.get("updatedAt") && field(found, "disabledReason").is_empty();
    is(wanted, "paused") && is_as_left && is_untouched && spec::difference(wanted, present).is_some()
}

fn is(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get(name).and_then(Value::as_bool).unwrap_or_default()
}

pub(super) fn failed(line: &Line<'_>, failure: Failure) -> Failure {
    BadLine::failed(line.number, failure)
}

/// What has no uid gets one.
fn name_by_id(id: &str, wanted: &mut Map<String, Value>) {
    if wanted.get("uid").is_none_or(Value::is_null) {
        wanted.insert("uid".into(), format!("{MADE_UID}{id}").into());
    }
}

fn shorten(text: &str) -> String {
    const CHARACTERS: usize = 200;
    let mut short: String = text.chars().take(CHARACTERS).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}
