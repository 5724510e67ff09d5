//! An HTTP client that keeps everything an answer says.

use std::net::SocketAddr;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::DEADLINE;

/// One account's view of the API.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub(crate) body: Value,
    /// The body as text.
    pub(crate) text: String,
}

impl Answer {
    /// Asserts status and JSON code together, naming the case.
    #[track_caller]
    pub(crate) fn refused(&self, case: &str, status: u16, code: u64) {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_u64()),
            (status, Some(code)),
            "{case}: {self:?}"
        );
        assert!(
            self.body["message"].is_string(),
            "{case}: an error says what is wrong: {self:?}"
        );
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub(crate) fn ok(self, case: &str) -> Value {
        assert!(self.status.is_success(), "{case}: {self:?}");
        self.body
    }
}

impl Http {
    pub(crate) fn new(addr: SocketAddr, token: &str) -> Self {
        Self::with_authorization(addr, Some(format!("Bot {token}")))
    }

    pub(crate) fn with_authorization(addr: SocketAddr, authorization: Option<String>) -> Self {
        let client = reqwest::Client::builder()
            .timeout(DEADLINE)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            base: format!("http://{addr}/api/v10"),
            authorization,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Self::try_send(request).await.unwrap()
    }

    /// Fails when the connection does.
    pub(crate) async fn try_send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer {
            status,
            headers,
            body,
            text,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A path beside the API: `/metrics`, `/healthz`.
    pub(crate) async fn get_plain(&self, path: &str) -> Answer {
        let root = self.base.strip_suffix("/api/v10").unwrap();
        self.send(self.client.get(format!("{root}{path}"))).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// A body as it is, with its type.
    pub(crate) async fn post_raw(&self, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, content_type);
        self.send(request.body(body)).await
    }

    /// Posts a message that must be taken.
    pub(crate) async fn post_message(&self, channel: &str, content: &str) -> Value {
        let path = format!("/channels/{channel}/messages");
        self.post(&path, &json!({"content": content}))
            .await
            .ok("post a message")
    }

    /// All messages of a channel, oldest first, read page by page.
    pub(crate) async fn all_messages(&self, channel: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        let mut before = String::new();
        loop {
            let path = format!("/channels/{channel}/messages?limit=100{before}");
            let page = self.get(&path).await.ok("a page of messages");
            let page = page.as_array().unwrap().clone();
            let Some(last) = page.last() else { break };
            before = format!("&before={}", last["id"].as_str().unwrap());
            all.extend(page);
        }
        all.reverse();
        all
    }
}

/// Sends bytes on a new connection, says it is finished, and answers what came back until the
/// server closed.
pub(crate) async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(DEADLINE, exchange)
        .await
        .expect("the server answers or closes in time")
}
