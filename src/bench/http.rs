//! One kept-alive HTTP connection to the measured node, for requests one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time a request has to be answered.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Longest answer: a page of a hundred messages is below.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A connection of one account.
pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

/// What came back.
pub(crate) struct Answer<'c> {
    /// The status.
    pub(crate) status: u16,
    /// The body, unread.
    pub(crate) body: &'c [u8],
}

impl Answer<'_> {
    /// The body as JSON, of an answer that must be a success.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn ok(&self) -> anyhow::Result<Value> {
        let text = String::from_utf8_lossy(self.body);
        ensure!((200..300).contains(&self.status), "{}: {text}", self.status);
        Ok(serde_json::from_slice(self.body)?)
    }
}

impl Connection {
    /// Opens one for the bot with this token.
    ///
    /// # Errors
    /// When the node does not take it.
    pub(crate) async fn open(addr: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            head: format!("Host: {addr}\r\nAuthorization: Bot {token}\r\n"),
            answer: Vec::new(),
        })
    }

    /// Asks and waits for the answer; an empty body is none.
    ///
    /// # Errors
    /// When the connection ends or the answer is late, too long or no HTTP.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Answer<'_>> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        let exchange = async {
            self.stream.write_all(request.as_bytes()).await?;
            self.read().await
        };
        let (status, begin, end) = tokio::time::timeout(ANSWER_MAX, exchange)
            .await
            .context("a request was not answered in time")??;
        Ok(Answer {
            status,
            body: &self.answer[begin..end],
        })
    }

    /// Reads one answer; its status and where its body is.
    async fn read(&mut self) -> anyhow::Result<(u16, usize, usize)> {
        self.answer.clear();
        let mut head = None;
        loop {
            let count = self.stream.read_buf(&mut self.answer).await?;
            ensure!(count > 0, "the node closed a connection");
            ensure!(
                self.answer.len() < ANSWER_BYTES_MAX,
                "an answer is too long"
            );
            if head.is_none() {
                let end = self.answer.windows(4).position(|four| four == b"\r\n\r\n");
                head = end
                    .map(|end| parse_head(&self.answer[..end], end + 4))
                    .transpose()?;
            }
            if let Some((status, begin, length)) = head
                && self.answer.len() >= begin + length
            {
                return Ok((status, begin, begin + length));
            }
        }
    }
}

/// The status, where the body begins, and how long it is.
fn parse_head(head: &[u8], begin: usize) -> anyhow::Result<(u16, usize, usize)> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("an answer without Content-Length")?;
    Ok((status, begin, length.trim().parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_what_is_none_is_told() {
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12";
        assert_eq!(parse_head(head, 60).ok(), Some((503, 60, 12)));
        for bad in [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: many",
            b"HTTP/1.1 OK\r\nContent-Length: 1",
            b"",
        ] {
            assert!(parse_head(bad, 0).is_err());
        }
    }
}
