//! A revoke is a fence: when it was acknowledged, nobody who lost a channel gets anything of it that
//! was decided after; and a grant shows everything from there on. Under load, with several relays,
//! for active and passive sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chat::guild::command::{Actor, ChannelPatch, RolePatch};
use chat::session::dispatch::Dispatches;
use chat::session::transport::{Close, Sent, Transport};
use chat::session::{Attached, GuildSubscription, Login};
use chat::{Chat, ChatConfig, accounts, guild, session};
use model::channel::{Overwrite, kind};
use model::intents::Intents;
use model::message::Draft;
use model::permissions::Permissions;
use model::user::Account;
use model::{ChannelId, RoleId, UserId};
use otp::eventually;
use parking_lot::Mutex;

use crate::world::World;

const PEOPLE: usize = 200;
const CHANNELS: usize = 4;
const ROLES: usize = 8;
const REVOKES: usize = 500;
const POSTERS: u64 = 2;

/// Splitmix64: small, and the same for the same seed everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most as u64) as usize
    }
}

/// What a client was told of a channel, by the channel's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Gone(u64),
    There(u64),
    Canary(u64, u64),
    /// It changed, or is in a PASSIVE_UPDATE_V2.
    Moved(u64),
}

/// A connection that keeps only that.
#[derive(Default)]
struct Watcher {
    told: Mutex<Vec<Told>>,
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let begin = text.find(key)? + key.len();
    let rest = &text[begin..];
    let end = rest.find(|it: char| !it.is_ascii_digit())?;
    rest[..end].parse().ok()
}

impl Transport for Watcher {
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent {
        let mut told = self.told.lock();
        for dispatch in dispatches.each {
            let body = std::str::from_utf8(dispatch.body()).unwrap();
            match dispatch.event().name {
                "MESSAGE_CREATE" => {
                    let place = number_after(body, r#""channel_id":""#).unwrap();
                    let number = number_after(body, r#""content":"~"#);
                    let number = number.or_else(|| number_after(body, "@everyone ~"));
                    told.push(Told::Canary(place, number.unwrap()));
                }
                "CHANNEL_DELETE" => told.push(Told::Gone(number_after(body, r#""id":""#).unwrap())),
                "CHANNEL_CREATE" => {
                    told.push(Told::There(number_after(body, r#""id":""#).unwrap()))
                }
                "CHANNEL_UPDATE" => {
                    told.push(Told::Moved(number_after(body, r#""id":""#).unwrap()))
                }
                "PASSIVE_UPDATE_V2" => {
                    let mut rest = &body[body.find("updated_channels").unwrap()..];
                    while let Some(at) = rest.find(r#"{"id":""#) {
                        told.push(Told::Moved(number_after(rest, r#"{"id":""#).unwrap()));
                        rest = &rest[at + 1..];
                    }
                }
                _ => {}
            }
        }
        Sent::Accepted
    }

    fn close(&self, why: Close) {
        panic!("closed: {why:?}");
    }
}

struct Person {
    user: UserId,
    active: bool,
    watcher: Arc<Watcher>,
    _attached: Attached,
}

/// A message on its way from `begin` to `end`, on the test's own clock.
struct Canary {
    number: u64,
    place: usize,
    everyone: bool,
    begin: u64,
    end: u64,
}

/// A change on its way from `begin` to `end` after which a person sees a channel, or does not.
struct Change {
    begin: u64,
    end: u64,
    sees: bool,
}

/// Who has which roles, and which roles see which channels.
struct Rules {
    roles_of: Vec<BTreeSet<usize>>,
    seen_by: Vec<BTreeSet<usize>>,
}

impl Rules {
    fn sees(&self, person: usize, place: usize) -> bool {
        !self.roles_of[person].is_disjoint(&self.seen_by[place])
    }

    fn all(&self) -> BTreeMap<(usize, usize), bool> {
        let pairs = (0..PEOPLE).flat_map(|person| (0..CHANNELS).map(move |place| (person, place)));
        pairs
            .map(|(person, place)| ((person, place), self.sees(person, place)))
            .collect()
    }
}

struct Hall {
    world: World,
    open: ChannelId,
    places: Vec<ChannelId>,
    roles: Vec<RoleId>,
    clock: AtomicU64,
    stop: AtomicBool,
}

impl Hall {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn chat(&self) -> &Chat {
        &self.world.chat
    }

    fn owner(&self) -> Actor {
        Actor::User(self.world.owner.user.id)
    }

    async fn new() -> Self {
        let world = World::with(ChatConfig {
            relay_sessions_max: 50,
            passive_members_min: 10,
            passive_update_every: Duration::from_millis(100),
            ..ChatConfig::default()
        })
        .await;
        let owner = Actor::User(world.owner.user.id);
        let (mut places, mut roles) = (Vec::new(), Vec::new());
        for number in 0..ROLES {
            let role = RolePatch {
                name: Some(format!("role {number}")),
                ..RolePatch::default()
            };
            roles.push(
                guild::create_role(&world.chat, owner, world.guild, role)
                    .await
                    .unwrap()
                    .id,
            );
        }
        for number in 0..CHANNELS {
            let everyone = Overwrite::role(
                world.guild.cast(),
                Permissions::empty(),
                Permissions::VIEW_CHANNEL,
            );
            let patch = ChannelPatch {
                name: Some(format!("place-{number}")),
                kind: Some(kind::GUILD_TEXT),
                permission_overwrites: Some(vec![everyone]),
                ..ChannelPatch::default()
            };
            let made = guild::create_channel(&world.chat, owner, world.guild, patch).await;
            places.push(made.unwrap().id);
        }
        Self {
            open: world.channel,
            world,
            places,
            roles,
            clock: AtomicU64::new(1),
            stop: AtomicBool::new(false),
        }
    }

    async fn member(&self, number: usize) -> Account {
        let account = accounts::create_user(self.chat(), &format!("person{number}"))
            .await
            .unwrap();
        let user = account.user.id;
        guild::add_member(self.chat(), Actor::System, self.world.guild, user)
            .await
            .unwrap();
        account
    }

    async fn enter(&self, number: usize, account: Account) -> Person {
        let user = account.user.id;
        let watcher = Arc::<Watcher>::default();
        let intents = Intents::GUILDS | Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT;
        let login = Login::new(account, intents);
        let attached = session::login(self.chat(), login, watcher.clone())
            .await
            .unwrap();
        Person {
            user,
            active: number.is_multiple_of(2),
            watcher,
            _attached: attached,
        }
    }

    async fn post(&self, place: ChannelId, content: String) -> bool {
        let draft = Draft {
            content,
            ..Draft::default()
        };
        guild::post_message(self.chat(), self.owner(), place, draft)
            .await
            .is_ok()
    }

    /// Posts canaries until it is told to stop.
    async fn pour(&self, mut random: Random) -> Vec<Canary> {
        let mut all = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            let (place, everyone) = (random.below(CHANNELS), random.below(3) == 0);
            let begin = self.now();
            let mark = if everyone { "@everyone " } else { "" };
            if self
                .post(self.places[place], format!("{mark}~{begin}~"))
                .await
            {
                let end = self.now();
                all.push(Canary {
                    number: begin,
                    place,
                    everyone,
                    begin,
                    end,
                });
            }
        }
        all
    }

    /// Gives or takes a role, or what a role sees; whether anything was to be done.
    async fn change(&self, rules: &mut Rules, people: &[Person], random: &mut Random) -> bool {
        let (chat, owner, guild_id) = (self.chat(), self.owner(), self.world.guild);
        let (role, grant) = (random.below(ROLES), random.below(2) == 0);
        if random.below(3) > 0 {
            let person = random.below(PEOPLE);
            let (user, id) = (people[person].user, self.roles[role]);
            if rules.roles_of[person].contains(&role) == grant {
                return false;
            }
            if grant {
                rules.roles_of[person].insert(role);
                guild::add_member_role(chat, owner, guild_id, user, id)
                    .await
                    .unwrap();
            } else {
                rules.roles_of[person].remove(&role);
                guild::remove_member_role(chat, owner, guild_id, user, id)
                    .await
                    .unwrap();
            }
        } else {
            let place = random.below(CHANNELS);
            if rules.seen_by[place].contains(&role) == grant {
                return false;
            }
            let (channel, id) = (self.places[place], self.roles[role]);
            if grant {
                rules.seen_by[place].insert(role);
                let overwrite =
                    Overwrite::role(id, Permissions::VIEW_CHANNEL, Permissions::empty());
                guild::put_overwrite(chat, owner, channel, overwrite)
                    .await
                    .unwrap();
            } else {
                rules.seen_by[place].remove(&role);
                guild::delete_overwrite(chat, owner, channel, id.cast())
                    .await
                    .unwrap();
            }
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_is_a_fence_and_a_grant_shows_everything() {
    let seed = match std::env::var("GUILDHALL_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    println!("GUILDHALL_TEST_SEED={seed}");
    let mut random = Random(seed);
    let hall = Arc::new(Hall::new().await);
    // The guild is large before anybody listens.
    let mut accounts = Vec::new();
    for number in 0..PEOPLE {
        accounts.push(hall.member(number).await);
    }
    let mut people = Vec::new();
    for (number, account) in accounts.into_iter().enumerate() {
        people.push(hall.enter(number, account).await);
    }
    let mut rules = Rules {
        roles_of: vec![BTreeSet::new(); PEOPLE],
        seen_by: vec![BTreeSet::new(); CHANNELS],
    };
    for person in people.iter().filter(|person| person.active) {
        person._attached.subscribe_guilds(vec![GuildSubscription {
            guild: hall.world.guild,
            channels: None,
        }]);
    }
    // All listen, and those who subscribed are active, when they hear what is not for everyone.
    let open = hall.open.get();
    let mut number = 0;
    eventually!({
        number += 1;
        hall.post(hall.open, format!("~{number}~")).await;
        let heard = |it: &&Person| {
            let told = it.watcher.told.lock();
            told.iter()
                .any(|it| matches!(it, Told::Canary(place, _) if *place == open))
        };
        people.iter().filter(|it| it.active).all(|it| heard(&it))
    });
    hall.clock.store(1_000_000, Ordering::SeqCst);

    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (hall, random) = (Arc::clone(&hall), Random(seed ^ (poster + 1)));
            tokio::spawn(async move { hall.pour(random).await })
        })
        .collect();
    let began = Instant::now();
    let mut changes: BTreeMap<(usize, usize), Vec<Change>> = BTreeMap::new();
    let mut revokes = 0;
    while revokes < REVOKES {
        let before = rules.all();
        let begin = hall.now();
        if !hall.change(&mut rules, &people, &mut random).await {
            continue;
        }
        let end = hall.now();
        let mut lost = false;
        for (pair, sees) in rules.all() {
            if before[&pair] != sees {
                lost |= !sees;
                changes
                    .entry(pair)
                    .or_default()
                    .push(Change { begin, end, sees });
            }
        }
        revokes += usize::from(lost);
    }
    let took = began.elapsed();
    hall.stop.store(true, Ordering::SeqCst);
    let mut canaries = Vec::new();
    for poster in posters {
        canaries.extend(poster.await.unwrap());
    }
    let last = hall.now();
    assert!(hall.post(hall.open, format!("@everyone ~{last}~")).await);
    for person in &people {
        eventually!(
            person
                .watcher
                .told
                .lock()
                .contains(&Told::Canary(open, last))
        );
    }
    let (mut hidden, mut shown) = (0, 0);
    for (number, person) in people.iter().enumerate() {
        let told = person.watcher.told.lock();
        nothing_between_gone_and_there(&told, open);
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        for it in &*told {
            if let Told::Canary(place, canary) = it
                && *place != open
            {
                *times.entry(*canary).or_default() += 1;
            }
        }
        for canary in &canaries {
            let Some(sees) = sees(changes.get(&(number, canary.place)), canary) else {
                continue;
            };
            let times = times.get(&canary.number).copied().unwrap_or(0);
            let due = sees && (person.active || canary.everyone);
            assert_eq!(
                times,
                usize::from(due),
                "person {number} (active: {}), canary {} in place {}, seed {seed}",
                person.active,
                canary.number,
                canary.place
            );
            *(if due { &mut shown } else { &mut hidden }) += 1;
        }
    }
    println!(
        "{} canaries, {revokes} revokes in {took:?}: {hidden} hidden, {shown} shown",
        canaries.len()
    );
    assert!(
        canaries.len() > 100 && hidden > 1_000 && shown > 1_000,
        "too little to prove anything"
    );
}

/// Whether the person saw the channel when the canary was decided; `None` when a change was under
/// way at the same time.
fn sees(changes: Option<&Vec<Change>>, canary: &Canary) -> Option<bool> {
    let mut sees = false;
    for change in changes.into_iter().flatten() {
        if change.end < canary.begin {
            sees = change.sees;
        } else if change.begin < canary.end {
            return None;
        }
    }
    Some(sees)
}

/// What a client was told in its own order: nothing of a channel between its CHANNEL_DELETE and its
/// CHANNEL_CREATE.
fn nothing_between_gone_and_there(told: &[Told], open: u64) {
    let mut there = BTreeSet::from([open]);
    for (place, it) in told.iter().enumerate() {
        match it {
            Told::Gone(channel) => assert!(there.remove(channel), "{place}: {it:?}"),
            Told::There(channel) => assert!(there.insert(*channel), "{place}: {it:?}"),
            Told::Canary(channel, _) | Told::Moved(channel) => {
                assert!(there.contains(channel), "{place}: {it:?}");
            }
        }
    }
}
