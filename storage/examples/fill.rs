//! Fills a store with a number of messages, for measurements: `fill URL MESSAGES`.
//!
//! Ten guilds of twenty channels, a thousand members each, messages of 20 to 140 characters over half
//! a year; one in fifty has three reactions, one in two thousand is pinned, one in a hundred edited.
#![allow(missing_docs)]

use model::channel::Channel;
use model::guild::Guild;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::user::{Account, User};
use model::{Id, MessageId, UserId};
use storage::Store;
use storage::engine;
use storage::store::{Commit, RecordPatch, Write};

const GUILDS: u64 = 10;
const CHANNELS: u64 = 20;
const MEMBERS: u64 = 1_000;
/// Half a year in milliseconds, from the middle of 2025 on.
const SPAN_MS: u64 = 182 * 86_400_000;
const FIRST_MS: u64 = 330_000_000_000;
/// Writes of one batch, and batches under way.
const BATCH: usize = 200;
const UNDER_WAY: usize = 32;

fn user(number: u64) -> UserId {
    Id::new(1_000_000 + number % MEMBERS)
}

fn record(number: u64, id: MessageId) -> MessageRecord {
    let guild = number % GUILDS;
    MessageRecord {
        content: format!("message {number} ").repeat(1 + usize::try_from(number % 8).unwrap_or(0)),
        ..MessageRecord::new(
            id,
            Id::new(10_000 + guild * 100 + number / GUILDS % CHANNELS),
            Id::new(1_000 + guild),
            user(number * 7),
        )
    }
}

fn writes(number: u64, messages: u64) -> Vec<Write> {
    let at_ms = FIRST_MS
        + u64::try_from(u128::from(SPAN_MS) * u128::from(number) / u128::from(messages))
            .unwrap_or(0);
    let id: MessageId = Id::new((at_ms << 22) | (number % 4_096) | 1 << 12);
    let record = record(number, id);
    let channel = record.channel_id;
    let mut writes = vec![Write::PutMessage(Box::new(record))];
    if number.is_multiple_of(50) {
        writes.extend((0..3).map(|one| {
            Write::PutReaction(ReactionRecord {
                channel_id: channel,
                message_id: id,
                user_id: user(number + one),
                emoji: model::emoji::ReactionEmoji {
                    id: None,
                    name: Some("👍".to_owned()),
                    animated: false,
                },
                at_ms: at_ms + one,
            })
        }));
    }
    if number.is_multiple_of(2_000) {
        writes.push(Write::PutPin(channel, id, at_ms + 10));
    }
    if number.is_multiple_of(100) {
        let patch = RecordPatch {
            content: Some(format!("message {number}, edited")),
            edited_timestamp: Some(model::time::from_unix_ms(1_760_000_000_000)),
            ..RecordPatch::default()
        };
        writes.push(Write::PatchMessage(channel, id, Box::new(patch)));
    }
    writes
}

async fn guilds(store: &dyn Store) -> Result<(), Box<dyn std::error::Error>> {
    for number in 0..MEMBERS {
        let account = Account {
            user: User::new(user(number), format!("user{number}"), false),
            email: None,
            application: None,
            token_generation: 0,
        };
        store.create_account(account).await?;
    }
    for guild in 0..GUILDS {
        let id = Id::new(1_000 + guild);
        let mut batch = vec![Write::PutGuild(Box::new(Guild::new(id, "guild", user(0))))];
        batch.extend((0..CHANNELS).map(|channel| {
            let channel_id = Id::new(10_000 + guild * 100 + channel);
            Write::PutChannel(Box::new(Channel::new(channel_id, id, 0, "channel")))
        }));
        let joined = model::time::from_unix_ms(1_750_000_000_000);
        batch.extend(
            (0..MEMBERS).map(|member| {
                Write::PutMember(Box::new(MemberRecord::new(id, user(member), joined)))
            }),
        );
        store.commit(batch).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(messages)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fill URL MESSAGES".into());
    };
    let messages: u64 = messages.parse()?;
    let store = engine::open(&url).await?;
    let began = std::time::Instant::now();
    guilds(&*store).await?;
    let mut under_way = std::collections::VecDeque::<Commit>::new();
    let mut batch = Vec::new();
    for number in 0..messages {
        batch.extend(writes(number, messages));
        if batch.len() >= BATCH || number + 1 == messages {
            if under_way.len() >= UNDER_WAY
                && let Some(oldest) = under_way.pop_front()
            {
                oldest.await?;
            }
            under_way.push_back(store.commit(std::mem::take(&mut batch)));
        }
    }
    for commit in under_way {
        commit.await?;
    }
    store.close().await?;
    println!(
        "{messages} messages in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
