//! Publishers: connections that post messages one after the other, at a rate and within a window.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::receiver::MARK;
use super::server::Server;
use super::tally::{Histogram, Tally};

/// Time a post has to be answered.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longest answer to a post.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What was published.
pub(crate) struct Published {
    /// Messages that were acknowledged.
    pub(crate) count: u64,
    /// From sending to the acknowledgement.
    pub(crate) acknowledged: Histogram,
}

/// One kept-alive HTTP connection of the bot that owns the guild.
pub(crate) struct Publisher {
    stream: TcpStream,
    head: String,
    payload: usize,
    answer: Vec<u8>,
}

/// Opens connections to publish on.
///
/// # Errors
/// When the node does not accept them.
pub(crate) async fn connect(
    server: &Server,
    count: usize,
    payload: usize,
) -> anyhow::Result<Vec<Publisher>> {
    let mut publishers = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect(server.addr()).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /api/v10/channels/{}/messages HTTP/1.1\r\nHost: {}\r\nAuthorization: Bot {}\r\n\
             Content-Type: application/json\r\nContent-Length: ",
            server.var("CHANNEL_ID")?,
            server.addr(),
            server.var("TOKEN_A")?,
        );
        publishers.push(Publisher {
            stream,
            head,
            payload,
            answer: Vec::new(),
        });
    }
    Ok(publishers)
}

impl Publisher {
    /// Posts message `number`, stamped with the time `sent`, and waits for the acknowledgement.
    ///
    /// # Errors
    /// When the node refuses it or the connection ends.
    pub(crate) async fn publish(&mut self, number: u64, sent: u64) -> anyhow::Result<()> {
        let mark = char::from(MARK);
        let mut content = format!("{mark}{number}:{sent}{mark}");
        while content.len() < self.payload {
            content.push('x');
        }
        let body = format!("{{\"content\":\"{content}\"}}");
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        tokio::time::timeout(ANSWER_MAX, async {
            self.stream.write_all(request.as_bytes()).await?;
            self.read_answer().await
        })
        .await
        .context("a post was not answered in time")?
    }

    async fn read_answer(&mut self) -> anyhow::Result<()> {
        self.answer.clear();
        loop {
            let count = self.stream.read_buf(&mut self.answer).await?;
            ensure!(count > 0, "the node closed a publisher's connection");
            ensure!(
                self.answer.len() < ANSWER_BYTES_MAX,
                "an answer to a post is too long"
            );
            let Some(end) = self
                .answer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            else {
                continue;
            };
            let head = String::from_utf8_lossy(&self.answer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length
                .context("an answer without Content-Length")?
                .trim()
                .parse()?;
            if self.answer.len() >= end + 4 + length {
                let refused = || String::from_utf8_lossy(&self.answer).into_owned();
                ensure!(
                    head.starts_with("http/1.1 200"),
                    "a post was refused: {}",
                    refused()
                );
                return Ok(());
            }
        }
    }
}

/// Publishes for `duration`: at `rate` a second (0 = as fast as the window lets). With a rate, a
/// message carries the time it was due, so that a late publisher does not hide a slow node.
///
/// # Errors
/// When a post fails.
pub(crate) async fn run(
    publishers: Vec<Publisher>,
    tally: &Arc<Tally>,
    rate: u32,
    duration: Duration,
) -> anyhow::Result<Published> {
    let next = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(Histogram::default());
    let began = Instant::now();
    let tasks: Vec<_> = publishers
        .into_iter()
        .map(|mut publisher| {
            let (next, acknowledged) = (Arc::clone(&next), Arc::clone(&acknowledged));
            let tally = Arc::clone(tally);
            tokio::spawn(async move {
                let mut count = 0;
                while began.elapsed() < duration {
                    tally.room().await;
                    if began.elapsed() >= duration {
                        break;
                    }
                    let number = next.fetch_add(1, Ordering::AcqRel);
                    if number >= tally.messages_max() {
                        break;
                    }
                    let mut sent = Instant::now();
                    if rate > 0 {
                        let due =
                            began + Duration::from_secs(1).mul_f64(number as f64 / f64::from(rate));
                        if due.duration_since(began) >= duration {
                            break;
                        }
                        tokio::time::sleep_until(due.into()).await;
                        sent = due;
                    }
                    let posted = Instant::now();
                    publisher.publish(number, tally.micros(sent)).await?;
                    acknowledged
                        .add(u64::try_from(posted.elapsed().as_micros()).unwrap_or(u64::MAX));
                    count += 1;
                }
                anyhow::Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    let acknowledged = Arc::into_inner(acknowledged).context("all publishers have ended")?;
    Ok(Published {
        count,
        acknowledged,
    })
}
