//! Guilds that come and go while a session is there, and what it is told of their members.

use chat::guild::command::{Actor, MembersRequest, RolePatch};
use chat::session::recorder::Recorder;
use chat::{ChatConfig, accounts, guild};
use model::application::flags;
use otp::eventually;

use super::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_gets_the_guild_and_who_is_kicked_loses_it() {
    let world = World::new(ChatConfig::default()).await;
    let late = accounts::create_bot(&world.chat, "late", flags::ALL_PRIVILEGED)
        .await
        .unwrap();
    let (_attached, recorder) = enter(&world.chat, login_of(&late), 0).await;
    for round in 0..3 {
        guild::add_member(&world.chat, Actor::System, world.guild, late.user.id)
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_CREATE").len() == round + 1);
        let create = recorder.of("GUILD_CREATE").pop().unwrap();
        assert!(
            create.get("unavailable").is_none(),
            "left out for a guild newly joined"
        );
        world.post(&format!("{round}")).await;
        eventually!(texts(&recorder).last() == Some(&round.to_string()));
        let owner = Actor::User(world.owner.user.id);
        guild::kick(&world.chat, owner, world.guild, late.user.id)
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_DELETE").len() == round + 1);
        world.post("secret").await;
    }
    let (_member, witness) = enter(&world.chat, login_of(&world.member), 1).await;
    world.post("end").await;
    eventually!(texts(&witness) == ["end"]);
    assert_eq!(texts(&recorder), ["0", "1", "2"]);
    assert_gapless(&recorder.numbers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_and_leaving_in_a_hurry_ends_where_it_ended() {
    let world = World::new(ChatConfig::default()).await;
    let busy = accounts::create_bot(&world.chat, "busy", flags::ALL_PRIVILEGED)
        .await
        .unwrap();
    let (_attached, recorder) = enter(&world.chat, login_of(&busy), 0).await;
    for _ in 0..30 {
        guild::add_member(&world.chat, Actor::System, world.guild, busy.user.id)
            .await
            .unwrap();
        guild::kick(&world.chat, Actor::System, world.guild, busy.user.id)
            .await
            .unwrap();
    }
    guild::add_member(&world.chat, Actor::System, world.guild, busy.user.id)
        .await
        .unwrap();
    let id = world.guild.to_string();
    let has_guild = || {
        let received = recorder.received();
        let last = received
            .iter()
            .rfind(|event| event.data["id"] == id && event.name.starts_with("GUILD_"));
        last.is_some_and(|event| event.name == "GUILD_CREATE")
    };
    // It may have been served in between; in the end it must be, and stay so.
    let mut number = 0;
    eventually!({
        number += 1;
        world.post(&number.to_string()).await;
        has_guild() && texts(&recorder).contains(&number.to_string())
    });
    assert_gapless(&recorder.numbers(), 1);
}

/// What a passive session is told of others would be wrong from the start, and in a storm of logins
/// a list for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_of_itself_alone_when_a_large_guild_arrives() {
    let config = ChatConfig {
        passive_members_min: 2,
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let listed = |recorder: &Recorder, key: &str| -> Vec<String> {
        let create = &recorder.of("GUILD_CREATE")[0];
        let all = create[key].as_array().unwrap().iter();
        all.map(|one| one["user"]["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let everybody = ["owner", "member"].map(|name| match name {
        "owner" => world.owner.user.id.to_string(),
        _ => world.member.user.id.to_string(),
    });
    let person = accounts::create_user(&world.chat, "person").await.unwrap();
    let (_bot, bot) = enter(&world.chat, login_of(&world.member), 1).await;
    // Which of the two depends on whether the guild was loaded first.
    let itself = world.member.user.id.to_string();
    eventually!(
        listed(&bot, "presences").contains(&itself)
            || status_seen(&bot, &world.member) == Some("online".into())
    );
    assert_eq!(
        listed(&bot, "members"),
        everybody,
        "a guild of two is small"
    );

    guild::add_member(&world.chat, Actor::System, world.guild, person.user.id)
        .await
        .unwrap();
    let (_person, recorder) = enter(&world.chat, login_of(&person), 1).await;
    let own = [person.user.id.to_string()];
    assert_eq!(listed(&recorder, "members"), own);
    assert_eq!(recorder.of("GUILD_CREATE")[0]["member_count"], 3);
    assert!(
        listed(&recorder, "presences").is_empty(),
        "not even the bot's, whose changes it would not be told of"
    );
    // Bots are never passive, and asked for presences.
    let (_again, bot) = enter(&world.chat, login_of(&world.member), 1).await;
    assert_eq!(listed(&bot, "members").len(), 3);
}

/// As in a large guild: a person's session is passive until its client shows something of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_mentioned_role_is_told_of_the_message_though_passive() {
    let config = ChatConfig {
        passive_members_min: 1,
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let (chat, guild) = (&world.chat, world.guild);
    let role = guild::create_role(chat, Actor::System, guild, RolePatch::default()).await;
    let role = role.unwrap().id;
    let mut people = Vec::new();
    for name in ["ann", "bob"] {
        let person = accounts::create_user(chat, name).await.unwrap();
        guild::add_member(chat, Actor::System, guild, person.user.id)
            .await
            .unwrap();
        let (attached, recorder) = enter(chat, login_of(&person), 1).await;
        people.push((person.user.id, attached, recorder));
    }
    let [(ann, _, first), (bob, _, second)] = &people[..] else {
        panic!("there are two");
    };
    guild::add_member_role(chat, Actor::System, guild, *ann, role)
        .await
        .unwrap();
    let mention = |text: &str| format!("{text} <@&{role}>");
    world.post("of no concern").await;
    world.post(&mention("one")).await;
    eventually!(texts(first) == [mention("one")]);
    // Its successor is told by nobody who listens, and finds it out.
    world.kill(&format!("guild {guild}")).await;
    world.post(&mention("two")).await;
    eventually!(texts(first) == [mention("one"), mention("two")]);
    guild::remove_member_role(chat, Actor::System, guild, *ann, role)
        .await
        .unwrap();
    guild::add_member_role(chat, Actor::System, guild, *bob, role)
        .await
        .unwrap();
    world.post(&mention("three")).await;
    let end = format!("the end <@{ann}>");
    world.post(&end).await;
    eventually!(texts(first) == [mention("one"), mention("two"), end.clone()]);
    eventually!(texts(second) == [mention("three")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_on_request_go_to_this_session_only() {
    let world = World::new(ChatConfig::default()).await;
    let (_other, other) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let all = || MembersRequest {
        query: Some(String::new()),
        presences: true,
        ..MembersRequest::default()
    };
    attached
        .request_members(world.guild, all(), Some("n".into()))
        .await;
    let chunk = recorder.of("GUILD_MEMBERS_CHUNK").pop().unwrap();
    assert_eq!(chunk["members"].as_array().unwrap().len(), 2);
    assert_eq!(chunk["presences"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&chunk["chunk_index"], &chunk["chunk_count"]),
        (&0.into(), &1.into())
    );
    assert_eq!(chunk["nonce"], "n");
    attached.request_members(world.guild, all(), None).await;
    let limited = recorder.of("RATE_LIMITED").pop().unwrap();
    assert_eq!(limited["opcode"], 8);
    assert_eq!(limited["meta"]["guild_id"], world.guild.to_string());
    let ids = MembersRequest {
        user_ids: vec![world.owner.user.id, model::Id::new(5)],
        ..MembersRequest::default()
    };
    attached
        .request_members(world.guild, ids, Some("x".repeat(33)))
        .await;
    let chunk = recorder.of("GUILD_MEMBERS_CHUNK").pop().unwrap();
    assert_eq!(chunk["members"].as_array().unwrap().len(), 1);
    assert_eq!(chunk["not_found"], serde_json::json!(["5"]));
    assert!(chunk.get("nonce").is_none(), "longer than 32 bytes");
    assert!(other.of("GUILD_MEMBERS_CHUNK").is_empty());
    assert_gapless(&recorder.numbers(), 1);
}
