//! A cut connection loses nothing: RESUME gives every event once, in order, in the same session.

use serde_json::{Value, json};

use crate::support::{ALL_INTENTS, Gateway, Received, TestNode};

const ROUNDS: usize = 100;
const EVENTS_EACH_WAY: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cuts_in_a_row_lose_repeat_and_reorder_nothing() {
    let node = TestNode::start().await;
    let (http, channel) = (node.http_a(), node.channel());
    let token = node.env().token_b.clone();
    let mut gateway = node.gateway_b().await;
    let session = gateway.session_id.clone();
    let mut expected = Vec::new();
    let mut seen = Vec::new();
    for round in 0..ROUNDS {
        // Some are read before the cut, so that the resumed sequence number moves.
        expected.push(posted(&node, &format!("{round} read")).await);
        seen.push(id_of(&gateway.dispatch("MESSAGE_CREATE").await));
        for number in 0..EVENTS_EACH_WAY {
            expected.push(posted(&node, &format!("{round} unread {number}")).await);
        }
        let sequence = gateway.sequence;
        gateway.abort();
        for number in 0..EVENTS_EACH_WAY {
            expected.push(posted(&node, &format!("{round} away {number}")).await);
        }
        gateway = Gateway::resuming(node.addr(), &token, &session, sequence).await;
        // The client checks that the numbers go on without a gap. An event that is published while
        // the session resumes comes after RESUMED.
        let mut resumed = 0;
        while resumed == 0 || seen.len() < expected.len() {
            let payload = gateway.payload().await;
            assert_eq!(payload["op"], 0, "the session can be resumed: {payload}");
            match payload["t"].as_str().unwrap() {
                "MESSAGE_CREATE" => seen.push(id_of(&payload["d"])),
                "RESUMED" => resumed += 1,
                "READY" => panic!("the same session goes on"),
                _ => {}
            }
        }
        assert_eq!(resumed, 1, "round {round}");
        assert_eq!(seen, expected, "round {round}: all of them, once, in order");
    }
    // New events follow RESUMED.
    let live = http.post_message(&channel, "live").await;
    assert_eq!(gateway.dispatch("MESSAGE_CREATE").await["id"], live["id"]);
    gateway.close(1000).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_number_never_sent_is_4007() {
    let node = TestNode::start().await;
    let gateway = node.gateway_b().await;
    let (session, sequence) = (gateway.session_id.clone(), gateway.sequence);
    gateway.abort();
    let token = &node.env().token_b;
    let mut wrong = Gateway::resuming(node.addr(), token, &session, sequence + 1_000).await;
    assert_eq!(wrong.closed().await, Some(4007));
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_is_op_9_false_and_the_connection_can_identify() {
    let node = TestNode::start().await;
    let token = &node.env().token_b;
    let mut gateway = Gateway::resuming(node.addr(), token, "0123456789abcdef", 5).await;
    let payload = gateway.payload().await;
    assert_eq!(
        (&payload["op"], &payload["d"]),
        (&json!(9), &json!(false)),
        "{payload}"
    );
    gateway.sequence = 0;
    gateway
        .send(&crate::support::gateway::identify(token, ALL_INTENTS))
        .await;
    gateway.read_ready().await;
    gateway.dispatch("GUILD_CREATE").await;
    gateway.close(1000).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_closed_with_1000_is_gone_and_one_closed_with_4000_stays() {
    let node = TestNode::start().await;
    let token = node.env().token_b.clone();
    for (code, stays) in [(1000, false), (1001, false), (4000, true)] {
        let gateway = node.gateway_b().await;
        let (session, sequence) = (gateway.session_id.clone(), gateway.sequence);
        gateway.close(code).await;
        let mut again = Gateway::resuming(node.addr(), &token, &session, sequence).await;
        let payload = again.payload().await;
        if stays {
            let resumed = loop_until_resumed(&mut again, payload).await;
            assert_eq!(resumed["t"], "RESUMED", "code {code}: {resumed}");
        } else {
            assert_eq!(
                (&payload["op"], &payload["d"]),
                (&json!(9), &json!(false)),
                "code {code}"
            );
        }
        again.close(1000).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_connection_takes_a_session_over_without_loss() {
    let node = TestNode::start().await;
    let token = node.env().token_b.clone();
    let mut old = node.gateway_b().await;
    let (session, sequence) = (old.session_id.clone(), old.sequence);
    let mut new = Gateway::resuming(node.addr(), &token, &session, sequence).await;
    new.dispatch("RESUMED").await;
    let posted = node
        .http_a()
        .post_message(&node.channel(), "to the new one")
        .await;
    assert_eq!(new.dispatch("MESSAGE_CREATE").await["id"], posted["id"]);
    loop {
        match old.receive().await {
            Received::Closed(_) => break,
            Received::Payload(payload) => assert_ne!(payload["d"]["id"], posted["id"], "{payload}"),
        }
    }
    new.close(1000).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_cannot_resume_a_session() {
    let node = TestNode::start().await;
    let gateway = node.gateway_b().await;
    let (session, sequence) = (gateway.session_id.clone(), gateway.sequence);
    let mut thief = Gateway::resuming(node.addr(), &node.env().token_a, &session, sequence).await;
    match thief.receive().await {
        Received::Payload(payload) => {
            assert_eq!(
                (&payload["op"], &payload["d"]),
                (&json!(9), &json!(false)),
                "{payload}"
            );
        }
        Received::Closed(code) => assert_eq!(code, Some(4004)),
    }
    gateway.close(1000).await;
    node.stop().await;
}

async fn loop_until_resumed(gateway: &mut Gateway, first: Value) -> Value {
    let mut payload = first;
    while payload["op"] == 0 && payload["t"] != "RESUMED" {
        payload = gateway.payload().await;
    }
    payload
}

async fn posted(node: &TestNode, content: &str) -> String {
    id_of(&node.http_a().post_message(&node.channel(), content).await)
}

fn id_of(message: &Value) -> String {
    message["id"].as_str().unwrap().to_owned()
}
