//! A bot on stock twilight that answers "ping" with "pong", against a local Guildhall.
//!
//! ```sh
//! cargo run -- dev --print-env        # in one terminal; prints TOKEN_A=…
//! TOKEN_A=… cargo run --example twilight_bot
//! ```

use twilight_gateway::{
    ConfigBuilder, Event, EventTypeFlags, Intents, Shard, ShardId, StreamExt as _,
};
use twilight_http::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let token = std::env::var("TOKEN_A")?;
    let http = Client::builder()
        .token(token.clone())
        .proxy("127.0.0.1:3000".to_owned(), true)
        .build();
    let gateway = "ws://127.0.0.1:3000".to_owned();
    let config = ConfigBuilder::new(token, Intents::all())
        .proxy_url(gateway)
        .build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    while let Some(event) = shard.next_event(EventTypeFlags::MESSAGE_CREATE).await {
        let Ok(Event::MessageCreate(message)) = event else {
            continue;
        };
        if message.content == "ping" {
            http.create_message(message.channel_id)
                .reply(message.id)
                .content("pong")
                .await?;
        }
    }
    Ok(())
}
