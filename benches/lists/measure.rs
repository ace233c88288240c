//! Asks for pages and takes the time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use crate::common::Failure;
use crate::common::api::{Connection, refused};
use crate::common::middle::Middle;
use crate::common::server::Server;
use crate::fill::{App, ENDPOINT};

/// Members of a page: as many as a client gets that asks for no number.
const LIMIT: usize = 50;
/// How often each page is asked for before the time is taken.
const WARM_UP: usize = 5;

/// A page of a list.
struct Page {
    name: Name,
    path: String,
    /// Its newest member.
    first: String,
}

/// What a page is called in the report.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) app: &'static str,
    pub(crate) list: &'static str,
    pub(crate) place: &'static str,
}

/// All pages that are measured.
pub(crate) struct Pages {
    api: Connection,
    pages: Vec<Page>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    timestamp: String,
}

impl Pages {
    /// Waits until the lists can be read.
    pub(crate) async fn new(server: &Server, apps: &[App]) -> Result<Self, Failure> {
        let mut pages = Self { api: Connection::open(server.api, &server.token).await?, pages: vec![] };
        let mut look = tokio::time::interval(Duration::from_millis(50));
        for app in apps {
            let path = format!("/api/v1/app/{}/msg?limit=1", app.uid);
            while pages.api.call(Method::GET, &path, vec![]).await?.0 == StatusCode::SERVICE_UNAVAILABLE {
                look.tick().await;
            }
            for (list, base) in [("messages", "msg".to_owned()), ("of endpoint", format!("endpoint/{ENDPOINT}/msg"))] {
                pages.add(app, list, &base).await?;
            }
        }
        Ok(pages)
    }

    /// Adds the pages of a list, which is newest first.
    async fn add(&mut self, app: &App, list: &'static str, base: &str) -> Result<(), Failure> {
        let newest_first = |nth: usize| app.ids.iter().rev().nth(nth).cloned().unwrap_or_default();
        let (middle, last) = (app.ids.len() / 2, app.ids.len() - LIMIT);
        // Members of one frame have the same time, so the page begins with the newest of that time.
        let before = self.timestamp(app, &newest_first(middle)).await? + Duration::from_millis(1);
        for (place, query, first) in [
            ("first page", String::new(), Some(0)),
            ("in the middle", format!("&iterator={}", newest_first(middle - 1)), Some(middle)),
            ("last page", format!("&iterator={}", newest_first(last - 1)), Some(last)),
            ("before a time", format!("&before={before}"), None),
        ] {
            let name = Name { app: app.uid, list, place };
            let path = format!("/api/v1/app/{}/{base}?limit={LIMIT}{query}", app.uid);
            self.pages.push(Page { name, path, first: first.map(newest_first).unwrap_or_default() });
        }
        Ok(())
    }

    async fn timestamp(&mut self, app: &App, id: &str) -> Result<Timestamp, Failure> {
        let path = format!("/api/v1/app/{}/msg/{id}", app.uid);
        let (status, body) = self.api.call(Method::GET, &path, vec![]).await?;
        match serde_json::from_slice::<Member>(&body) {
            Ok(member) => Ok(member.timestamp.parse()?),
            Err(_) => Err(refused(&path, status, &body)),
        }
    }

    /// What the pages are called, in the order of a round's figures.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.pages.iter().map(|page| page.name.clone()).collect()
    }

    /// Asks for each page so often; gives the median time of each in microseconds.
    /// The pages take turns, so that what else happens on the machine meets all.
    pub(crate) async fn round(&mut self, samples: usize) -> Result<Vec<f64>, Failure> {
        let mut times_us = vec![Vec::with_capacity(samples); self.pages.len()];
        for nth in 0..WARM_UP + samples {
            for (page, times_us) in self.pages.iter().zip(&mut times_us) {
                let began = Instant::now();
                let (status, body) = self.api.call(Method::GET, &page.path, vec![]).await?;
                let took_us = began.elapsed().as_secs_f64() * 1e6;
                page.check(status, &body)?;
                if nth >= WARM_UP {
                    times_us.push(took_us);
                }
            }
        }
        Ok(times_us.into_iter().map(|times| Middle::of(times).median).collect())
    }
}

impl Page {
    /// A page with other members would have another time.
    fn check(&self, status: StatusCode, body: &Bytes) -> Result<(), Failure> {
        if status != StatusCode::OK {
            return Err(refused(&self.path, status, body));
        }
        let list: List = serde_json::from_slice(body)?;
        let first = list.data.first().map(|member| member.id.as_str()).unwrap_or_default();
        if list.data.len() != LIMIT || !(self.first.is_empty() || first == self.first) {
            return Err(format!(
                "{} has {} members from `{first}` on, not `{}`",
                self.path,
                list.data.len(),
                self.first
            )
            .into());
        }
        Ok(())
    }
}
