//! A list of the API, page by page, with its members as the server wrote them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Client, ClientError, Path};

/// Goes through a list.
pub(crate) struct Pages<'c> {
    client: &'c Client,
    /// The path with all but the iterator.
    path: Path,
    limit: u16,
    iterator: Option<String>,
    is_done: bool,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    iterator: Option<String>,
    done: bool,
}

impl<'c> Pages<'c> {
    /// Of a path; so many members a page.
    pub(crate) const fn new(client: &'c Client, path: Path, limit: u16) -> Self {
        Self { client, path, limit, iterator: None, is_done: false }
    }

    /// The next page, which may be empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Box<RawValue>>>, ClientError> {
        if self.is_done {
            return Ok(None);
        }
        let path = self.path.clone().query("limit", Some(self.limit)).query("iterator", self.iterator.as_ref());
        let answer = self.client.get(path).await?;
        let page: Result<Page, _> = serde_json::from_str(&answer.text);
        let page = page.map_err(|error| ClientError::Unreadable { error: error.to_string() })?;
        self.is_done = page.done || page.iterator.is_none();
        self.iterator = page.iterator;
        Ok(Some(page.data))
    }
}
