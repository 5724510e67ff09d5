//! Requests that are waited for later (`gen_server:send_request/2`, `reqids_new/0`).
//!
//! ```text
//!  server.send_request(…) ──▶ Request ──wait, receive──▶ answer
//!                                └──add──▶ RequestCollection ──wait, receive──▶ (label, answer)
//! ```

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::gen_server::GenServer;
use crate::server_ref::{CallError, From, ServerRef};

/// A request that was sent and not answered yet. Dropping it abandons it: its answer is dropped.
#[must_use = "a request that is dropped is abandoned"]
pub struct Request<T> {
    answer: BoxFuture<'static, Result<T, CallError>>,
    answered: bool,
}

impl<S: GenServer> ServerRef<S> {
    /// Sends a request, to be waited for later (`gen_server:send_request/2`). What is wrong with
    /// the server is told by its answer.
    pub fn send_request<T, F>(&self, request: F) -> Request<T>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message,
    {
        let sent = self.ask(request);
        let answer = async move { sent?.answer(&mut false).await };
        Request {
            answer: answer.boxed(),
            answered: false,
        }
    }
}

impl<T> Request<T> {
    /// Waits for the answer, at most `limit`, then abandons the request
    /// (`gen_server:receive_response/2`): [`CallError::Timeout`], and a late answer is dropped.
    pub async fn receive(mut self, limit: Duration) -> Result<T, CallError> {
        self.wait(limit).await.unwrap_or(Err(CallError::Timeout))
    }

    /// Waits for the answer, at most `limit` (`gen_server:wait_response/2`). `None` when there is
    /// none yet, and once it has been given: the request stays good.
    pub async fn wait(&mut self, limit: Duration) -> Option<Result<T, CallError>> {
        if self.answered {
            return None;
        }
        let answer = tokio::time::timeout(limit, &mut self.answer).await.ok()?;
        self.answered = true;
        Some(answer)
    }

    /// The answer, if it is there (`gen_server:check_response/2`).
    pub fn check(&mut self) -> Option<Result<T, CallError>> {
        if self.answered {
            return None;
        }
        let answer = (&mut self.answer).now_or_never()?;
        self.answered = true;
        Some(answer)
    }
}

impl<T> std::fmt::Debug for Request<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Request(answered: {})", self.answered)
    }
}

/// What a [`RequestCollection`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected<L, T> {
    /// One of the requests was answered.
    Answer {
        /// Its label.
        label: L,
        /// The answer.
        answer: Result<T, CallError>,
    },
    /// None was answered in time.
    Timeout,
    /// There is no request in the collection (`no_request`).
    Empty,
}

/// Requests with labels, waited for together (`gen_server:reqids_new/0`).
pub struct RequestCollection<L, T> {
    open: FuturesUnordered<BoxFuture<'static, (L, Result<T, CallError>)>>,
}

impl<L, T> Default for RequestCollection<L, T> {
    fn default() -> RequestCollection<L, T> {
        RequestCollection {
            open: FuturesUnordered::new(),
        }
    }
}

impl<L: Send + 'static, T: Send + 'static> RequestCollection<L, T> {
    /// A collection without requests.
    pub fn new() -> RequestCollection<L, T> {
        RequestCollection::default()
    }

    /// Adds a request (`reqids_add/3`).
    pub fn add(&mut self, label: L, request: Request<T>) {
        let labelled = async move { (label, request.answer.await) };
        self.open.push(labelled.boxed());
    }

    /// How many requests are open (`reqids_size/1`).
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no request is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Waits for the next answer, at most `limit`; its request is taken out. After
    /// [`Collected::Timeout`] all requests that were open are abandoned
    /// (`receive_response/3`).
    pub async fn receive(&mut self, limit: Duration) -> Collected<L, T> {
        let collected = self.wait(limit).await;
        if matches!(collected, Collected::Timeout) {
            self.open = FuturesUnordered::new();
        }
        collected
    }

    /// Waits for the next answer, at most `limit`; its request is taken out. After
    /// [`Collected::Timeout`] all requests are as they were (`wait_response/3`).
    pub async fn wait(&mut self, limit: Duration) -> Collected<L, T> {
        match tokio::time::timeout(limit, self.open.next()).await {
            Ok(Some((label, answer))) => Collected::Answer { label, answer },
            Ok(None) => Collected::Empty,
            Err(_) => Collected::Timeout,
        }
    }

    /// The next answer, if one is there (`check_response/3`).
    pub fn check(&mut self) -> Collected<L, T> {
        match self.open.next().now_or_never() {
            Some(Some((label, answer))) => Collected::Answer { label, answer },
            Some(None) => Collected::Empty,
            None => Collected::Timeout,
        }
    }
}
