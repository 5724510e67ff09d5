//! What the first start of `guildhall dev` creates: a guild, two bots, a person; once.
//!
//! The ids are kept in the store under a setting, and tokens are made from them, so the same data
//! directory gives the same values at every start.

use anyhow::Context as _;
use chat::Chat;
use chat::guild::command::Actor;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::application::flags::ALL_PRIVILEGED;
use model::member::MemberRecord;
use model::user::{Account, User};
use model::{ChannelId, GuildId, UserId, snowflake, time};
use serde::{Deserialize, Serialize};
use storage::DataService;
use storage::store::Write;

const SETTING: &str = "demo";
const USERS_SETTING: &str = "demo_users";

/// Accounts created at a time; their commits share fsyncs.
const CONCURRENCY: usize = 256;
/// Members added in one batch.
const MEMBERS_BATCH: usize = 512;

/// What a client needs to use the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoEnv {
    /// Token of the bot that owns the guild.
    pub token_a: String,
    /// Token of a bot that is a plain member.
    pub token_b: String,
    /// Token of a person who is a member.
    pub user_token: String,
    /// The guild.
    pub guild_id: GuildId,
    /// Its `#general`.
    pub channel_id: ChannelId,
}

#[derive(Debug, Serialize, Deserialize)]
struct DemoIds {
    bot_a: UserId,
    bot_b: UserId,
    person: UserId,
    guild: GuildId,
    channel: ChannelId,
}

/// Creates the demo if this store has none; answers how to use it.
///
/// # Errors
/// When the store fails, or the demo's accounts were deleted.
pub async fn ensure(chat: &Chat, data: &DataService) -> anyhow::Result<DemoEnv> {
    let ids = match data.setting(SETTING).await? {
        Some(bytes) => serde_json::from_slice(&bytes).context("the stored demo ids are broken")?,
        None => create(chat, data).await?,
    };
    let token = async |user| -> anyhow::Result<String> {
        let account = chat::accounts::account(chat, user).await.context(
            "an account of the demo is gone from this data directory; use another with --data DIR",
        )?;
        Ok(chat::accounts::first_token(chat, &account))
    };
    Ok(DemoEnv {
        token_a: token(ids.bot_a).await?,
        token_b: token(ids.bot_b).await?,
        user_token: token(ids.person).await?,
        guild_id: ids.guild,
        channel_id: ids.channel,
    })
}

async fn create(chat: &Chat, data: &DataService) -> anyhow::Result<DemoIds> {
    let bot_a = chat::accounts::create_bot(chat, "Guildhall A", ALL_PRIVILEGED).await?;
    let bot_b = chat::accounts::create_bot(chat, "Guildhall B", ALL_PRIVILEGED).await?;
    let person = match chat::accounts::create_user(chat, "newcomer").await {
        Ok(person) => person,
        // A start that was cut off before it wrote its setting may have taken the name.
        Err(chat::ChatError::Form(_)) => {
            let name = format!("newcomer-{}", bot_a.user.id.get() & 0xffff);
            chat::accounts::create_user(chat, &name).await?
        }
        Err(error) => return Err(error.into()),
    };
    let view = chat::guild::create_guild(chat, &bot_a.user, "Guildhall").await?;
    let guild = view.guild.id;
    let channel = view
        .guild
        .system_channel_id
        .context("a new guild has a #general")?;
    for user in [bot_b.user.id, person.user.id] {
        chat::guild::add_member(chat, Actor::System, guild, user).await?;
    }
    let ids = DemoIds {
        bot_a: bot_a.user.id,
        bot_b: bot_b.user.id,
        person: person.user.id,
        guild,
        channel,
    };
    data.commit(vec![Write::PutSetting(
        SETTING.to_owned(),
        serde_json::to_vec(&ids)?,
    )])
    .await?;
    Ok(ids)
}

/// Makes sure that the demo guild has at least `count` people made here; answers their tokens, in
/// the order they were made. Members are written to the store past the guild's process, which then
/// loads them.
///
/// # Errors
/// When the store fails.
pub async fn ensure_users(
    chat: &Chat,
    data: &DataService,
    guild: GuildId,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let mut ids: Vec<UserId> = match data.setting(USERS_SETTING).await? {
        Some(bytes) => {
            serde_json::from_slice(&bytes).context("the stored demo users are broken")?
        }
        None => Vec::new(),
    };
    if ids.len() < count {
        let made = make_users(chat, data, guild, ids.len(), count).await?;
        ids.extend(made);
        reload(chat, guild).await;
        data.commit(vec![Write::PutSetting(
            USERS_SETTING.to_owned(),
            serde_json::to_vec(&ids)?,
        )])
        .await?;
    }
    ids.truncate(count);
    let mut tokens = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(1_000) {
        for account in data.accounts(chunk).await?.into_iter().flatten() {
            tokens.push(chat::accounts::first_token(chat, &account));
        }
    }
    Ok(tokens)
}

/// The guild's process, if it runs, starts anew and loads what was written past it.
pub async fn reload(chat: &Chat, guild: GuildId) {
    let label = format!("guild {guild}");
    if let Some(process) = chat
        .node()
        .processes()
        .into_iter()
        .find(|one| one.label.as_deref() == Some(label.as_str()))
    {
        chat.node().exit(process.pid, otp::ExitReason::Shutdown);
        chat.node().wait_for_exit(process.pid).await;
    }
}

async fn make_users(
    chat: &Chat,
    data: &DataService,
    guild: GuildId,
    from: usize,
    to: usize,
) -> anyhow::Result<Vec<UserId>> {
    let now = chat::clock::now_ms();
    let accounts: Vec<Account> = (from..to)
        .map(|number| {
            let id: UserId = chat.ids().next(now);
            Account {
                user: User::new(id, format!("demo-{number}-{}", id.get() & 0xffff), false),
                email: None,
                application: None,
                token_generation: 0,
            }
        })
        .collect();
    futures_util::stream::iter(accounts.clone())
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, |account| data.store().create_account(account))
        .await?;
    for chunk in accounts.chunks(MEMBERS_BATCH) {
        let batch = chunk.iter().map(|account| {
            let joined_at = time::from_unix_ms(snowflake::timestamp_ms(account.user.id));
            Write::PutMember(Box::new(MemberRecord::new(
                guild,
                account.user.id,
                joined_at,
            )))
        });
        data.commit(batch.collect()).await?;
    }
    Ok(accounts
        .into_iter()
        .map(|account| account.user.id)
        .collect())
}
