//! Guilds and what is in them but messages.

use model::ban::BanRecord;
use model::channel::Channel;
use model::guild::Guild;
use model::member::MemberRecord;
use model::permissions::Permissions;
use model::role::Role;
use model::{GuildId, Id, UserId};

use super::{ADA, BOB, CHANNEL, Engine, GUILD, found, message_id, put};
use crate::store::Write;

/// A snapshot has everything, with last messages and pins as they are, not as the channel was put.
pub async fn snapshot(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.guild(GUILD).await.unwrap(), None);
    found(&*store).await;
    let role = Role::new(Id::new(77), "admin", Permissions::all(), 1);
    let stranger = UserId::new(3_999);
    let batch = vec![
        Write::PutRole(GUILD, Box::new(role.clone())),
        Write::PutRole(Id::new(GUILD.get() + 1), Box::new(role.clone())),
        Write::PutMember(Box::new(MemberRecord::new(
            GUILD,
            stranger,
            model::time::epoch(),
        ))),
        put(message_id(1, 1)),
        put(message_id(2, 1)),
        Write::PutPin(CHANNEL, message_id(1, 1), 5_000),
        Write::PutPin(CHANNEL, message_id(2, 1), 4_000),
    ];
    store.commit(batch).await.unwrap();
    let mut channel = Channel::new(CHANNEL, GUILD, 0, "renamed");
    channel.last_message_id = Some(message_id(9, 9));
    store
        .commit(vec![Write::PutChannel(Box::new(channel.clone()))])
        .await
        .unwrap();

    let snapshot = store.guild(GUILD).await.unwrap().unwrap();
    assert_eq!(snapshot.guild, Guild::new(GUILD, "guild", ADA));
    assert_eq!(snapshot.roles, [role]);
    channel.last_message_id = Some(message_id(2, 1));
    channel.last_pin_timestamp = Some(model::time::from_unix_ms(5_000));
    assert_eq!(snapshot.channels, [channel]);
    assert_eq!(snapshot.last_message_id, Some(message_id(2, 1)));
    let mut members: Vec<_> = snapshot
        .members
        .iter()
        .map(|(member, user)| (member.user_id, user.username.as_str()))
        .collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [(ADA, "ada"), (BOB, "bob")],
        "a member without an account is left out"
    );
    assert_eq!(store.list_guilds(None, 10).await.unwrap(), [GUILD]);
    let without = store.guild_without_members(GUILD).await.unwrap().unwrap();
    let page = |after, limit| store.members(GUILD, after, limit);
    let mut all = page(None, 10).await.unwrap();
    assert!(
        all.is_sorted_by_key(|(member, _)| member.user_id),
        "in order of ids"
    );
    assert_eq!(
        page(None, 1).await.unwrap(),
        all[..1],
        "as many as asked for"
    );
    assert_eq!(page(Some(all[0].0.user_id), 10).await.unwrap(), all[1..]);
    assert_eq!(page(Some(Id::new(u64::MAX)), 10).await.unwrap(), []);
    let mut together = crate::store::GuildSnapshot {
        members: std::mem::take(&mut all),
        ..without
    };
    together.members.sort_by_key(|(member, _)| member.user_id);
    let mut snapshot = snapshot;
    snapshot.members.sort_by_key(|(member, _)| member.user_id);
    assert_eq!(together, snapshot, "the parts are the whole");
    let nowhere = GuildId::new(GUILD.get() + 1);
    assert_eq!(store.guild_without_members(nowhere).await.unwrap(), None);
    assert_eq!(store.members(nowhere, None, 10).await.unwrap(), []);
}

/// A deleted guild takes everything with it but messages, and nothing of its neighbour.
pub async fn deletion(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let other = GuildId::new(GUILD.get() + 1);
    let ban = |guild_id| BanRecord {
        guild_id,
        user_id: Id::new(9),
        reason: None,
    };
    let batch = vec![
        Write::PutGuild(Box::new(Guild::new(other, "other", BOB))),
        Write::PutChannel(Box::new(Channel::new(Id::new(2_100), other, 0, "theirs"))),
        Write::PutRole(GUILD, Box::new(Role::everyone(GUILD, Permissions::empty()))),
        Write::PutRole(other, Box::new(Role::everyone(other, Permissions::empty()))),
        Write::PutMember(Box::new(MemberRecord::new(
            other,
            BOB,
            model::time::epoch(),
        ))),
        Write::PutBan(ban(GUILD)),
        Write::PutBan(ban(other)),
        put(message_id(1, 1)),
    ];
    store.commit(batch).await.unwrap();
    // A channel and a member of the same batch go as well.
    let batch = vec![
        Write::PutChannel(Box::new(Channel::new(
            Id::new(2_200),
            GUILD,
            0,
            "short lived",
        ))),
        Write::PutMember(Box::new(MemberRecord::new(
            GUILD,
            Id::new(3_003),
            model::time::epoch(),
        ))),
        Write::DeleteGuild(GUILD),
    ];
    store.commit(batch).await.unwrap();
    assert_eq!(store.guild(GUILD).await.unwrap(), None);
    assert_eq!(store.list_guilds(None, 10).await.unwrap(), [other]);
    assert!(store.guilds_of(ADA).await.unwrap().is_empty());
    assert_eq!(store.guilds_of(BOB).await.unwrap(), [other]);
    assert!(store.guilds_of(Id::new(3_003)).await.unwrap().is_empty());
    assert_eq!(store.guild_of_channel(CHANNEL).await.unwrap(), None);
    assert_eq!(store.guild_of_channel(Id::new(2_200)).await.unwrap(), None);
    assert_eq!(
        store.guild_of_channel(Id::new(2_100)).await.unwrap(),
        Some(other)
    );
    assert!(store.bans(GUILD, None, None, 9).await.unwrap().is_empty());
    assert_eq!(
        store.bans(other, None, None, 9).await.unwrap(),
        [ban(other)]
    );
    let theirs = store.guild(other).await.unwrap().unwrap();
    assert_eq!(
        (
            theirs.roles.len(),
            theirs.channels.len(),
            theirs.members.len()
        ),
        (1, 1, 1)
    );
    assert!(
        store
            .message(CHANNEL, message_id(1, 1))
            .await
            .unwrap()
            .is_some()
    );
    // The same id again starts empty.
    store
        .commit(vec![Write::PutGuild(Box::new(Guild::new(
            GUILD, "again", ADA,
        )))])
        .await
        .unwrap();
    let again = store.guild(GUILD).await.unwrap().unwrap();
    assert_eq!(
        (again.roles.len(), again.channels.len(), again.members.len()),
        (0, 0, 0)
    );
    assert_eq!(again.last_message_id, None);
}

/// Members are found by guild and by user.
pub async fn membership(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let mut member = MemberRecord::new(GUILD, ADA, model::time::epoch());
    member.nick = Some("A".to_owned());
    let join = |guild: u64| {
        Write::PutMember(Box::new(MemberRecord::new(
            Id::new(guild),
            ADA,
            model::time::epoch(),
        )))
    };
    store
        .commit(vec![
            Write::PutMember(Box::new(member.clone())),
            join(5),
            join(70_000),
        ])
        .await
        .unwrap();
    assert_eq!(
        store.guilds_of(ADA).await.unwrap(),
        [Id::new(5), GUILD, Id::new(70_000)]
    );
    let snapshot = store.guild(GUILD).await.unwrap().unwrap();
    assert!(snapshot.members.iter().any(|(found, _)| *found == member));
    store
        .commit(vec![
            Write::DeleteMember(GUILD, ADA),
            Write::DeleteMember(GUILD, Id::new(1)),
        ])
        .await
        .unwrap();
    assert_eq!(
        store.guilds_of(ADA).await.unwrap(),
        [Id::new(5), Id::new(70_000)]
    );
    assert_eq!(store.guild(GUILD).await.unwrap().unwrap().members.len(), 1);
}

/// Bans are paged in id order in both directions.
pub async fn bans(engine: &dyn Engine) {
    let store = engine.open().await;
    let ban = |user: u64| BanRecord {
        guild_id: GUILD,
        user_id: Id::new(user),
        reason: Some(format!("reason {user}")),
    };
    store
        .commit(
            [10_u64, 300, 20, 256, 255]
                .into_iter()
                .map(|user| Write::PutBan(ban(user)))
                .collect(),
        )
        .await
        .unwrap();
    let page = async |before: Option<u64>, after: Option<u64>, limit| {
        let bans = store
            .bans(GUILD, before.map(Id::new), after.map(Id::new), limit)
            .await
            .unwrap();
        bans.iter().map(|ban| ban.user_id.get()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 10).await, [10, 20, 255, 256, 300]);
    assert_eq!(page(None, None, 2).await, [10, 20]);
    assert_eq!(page(None, Some(20), 2).await, [255, 256]);
    assert_eq!(
        page(Some(256), None, 2).await,
        [20, 255],
        "the ones nearest to before"
    );
    assert_eq!(page(Some(300), Some(10), 2).await, [20, 255]);
    assert_eq!(page(Some(20), Some(20), 2).await, [0_u64; 0]);
    assert_eq!(page(Some(10), Some(300), 2).await, [0_u64; 0]);
    assert_eq!(store.ban(GUILD, Id::new(20)).await.unwrap(), Some(ban(20)));
    store
        .commit(vec![
            Write::DeleteBan(GUILD, Id::new(20)),
            Write::DeleteBan(GUILD, Id::new(21)),
        ])
        .await
        .unwrap();
    assert_eq!(store.ban(GUILD, Id::new(20)).await.unwrap(), None);
}

/// A channel is in one guild at a time; a deleted one is gone from everywhere.
pub async fn channels_move_and_go(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let other = GuildId::new(GUILD.get() + 1);
    store
        .commit(vec![Write::PutGuild(Box::new(Guild::new(
            other, "other", BOB,
        )))])
        .await
        .unwrap();
    store
        .commit(vec![Write::PutChannel(Box::new(Channel::new(
            CHANNEL, other, 0, "moved",
        )))])
        .await
        .unwrap();
    assert_eq!(store.guild_of_channel(CHANNEL).await.unwrap(), Some(other));
    assert!(
        store
            .guild(GUILD)
            .await
            .unwrap()
            .unwrap()
            .channels
            .is_empty()
    );
    store
        .commit(vec![Write::DeleteChannel(GUILD, CHANNEL)])
        .await
        .unwrap();
    assert_eq!(
        store.guild_of_channel(CHANNEL).await.unwrap(),
        Some(other),
        "it is not in that guild any more"
    );
    store
        .commit(vec![Write::DeleteChannel(other, CHANNEL)])
        .await
        .unwrap();
    assert_eq!(store.guild_of_channel(CHANNEL).await.unwrap(), None);
    assert!(
        store
            .guild(other)
            .await
            .unwrap()
            .unwrap()
            .channels
            .is_empty()
    );
}
