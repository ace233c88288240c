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
        let answer = loop {
            let path = self.path.clone().query("limit", Some(self.limit)).query("iterator", self.iterator.as_ref());
            match self.client.get(path).await {
                // Payloads may be so large that only a few go into an answer.
                Err(ClientError::TooLarge { .. }) if self.limit > 1 => self.limit /= 2,
                answer => break answer?,
            }
        };
        let page: Result<Page, _> = serde_json::from_str(&answer.text);
        let page = page.map_err(|error| ClientError::Unreadable { error: error.to_string() })?;
        self.is_done = page.done || page.iterator.is_none();
        self.iterator = page.iterator;
        Ok(Some(page.data))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    const MEMBERS: usize = 10;
    const MEMBER_BYTES: usize = 1_000;

    /// Lists members, beginning at the iterator; tells how many each request has asked for.
    async fn serve(listener: UnixListener, asked: tokio::sync::mpsc::UnboundedSender<usize>) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {}
            let request = String::from_utf8(request).expect("it is text");
            let line = request.lines().next().expect("there is one").replace(['?', '&', ' '], "\n");
            let number = |name| line.lines().find_map(|part| part.strip_prefix(name)?.parse::<usize>().ok());
            let (from, limit) = (number("iterator=").unwrap_or_default(), number("limit=").expect("it is given"));
            asked.send(limit).expect("the test listens");
            let to = (from + limit).min(MEMBERS);
            let data: Vec<_> = (from..to).map(|n| format!("{n:0MEMBER_BYTES$}")).collect();
            let body =
                serde_json::json!({ "data": data, "iterator": to.to_string(), "done": to == MEMBERS }).to_string();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            // Whoever has enough closes it.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    async fn read(answer_limit_bytes: usize) -> (Result<usize, ClientError>, Vec<usize>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("api.sock");
        let listener = UnixListener::bind(&socket).expect("it can be bound");
        let (asked, mut told) = tokio::sync::mpsc::unbounded_channel();
        let serving = tokio::spawn(serve(listener, asked));
        let client = Client::new(socket).with_answer_limit(answer_limit_bytes);
        let mut pages = Pages::new(&client, Path::new(["app"]).expect("it is a path"), 8);
        let mut members = 0;
        let read = loop {
            match pages.next().await {
                Ok(Some(page)) => members += page.len(),
                Ok(None) => break Ok(members),
                Err(error) => break Err(error),
            }
        };
        serving.abort();
        (read, std::iter::from_fn(|| told.try_recv().ok()).collect())
    }

    #[tokio::test]
    async fn pages_are_halved_until_they_go_into_an_answer() {
        let (read, asked) = read(3 * MEMBER_BYTES).await;
        assert_eq!((read.ok(), asked), (Some(MEMBERS), vec![8, 4, 2, 2, 2, 2, 2]));
    }

    #[tokio::test]
    async fn one_member_that_is_too_large_is_refused() {
        let (read, asked) = read(MEMBER_BYTES / 2).await;
        assert!(matches!(read, Err(ClientError::TooLarge { limit_bytes: 500 })), "{read:?}");
        assert_eq!(asked, [8, 4, 2, 1]);
    }
}
