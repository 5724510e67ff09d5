//! Permissions: Discord's documented cases by hand, laws, and two independent calculations.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use twilight_model::channel::ChannelType;
use twilight_model::channel::permission_overwrite::{PermissionOverwrite, PermissionOverwriteType};
use twilight_util::permission_calculator::PermissionCalculator;

use super::*;
use crate::id::Id;

const GUILD: GuildId = Id::new(1);
const OWNER: UserId = Id::new(2);
const USER: UserId = Id::new(3);

fn roles(permissions: &[(u64, Permissions)]) -> Vec<Role> {
    permissions
        .iter()
        .enumerate()
        .map(|(position, (id, permissions))| {
            let position = u32::try_from(position).unwrap();
            Role::new(Id::new(*id), "role", *permissions, position)
        })
        .collect()
}

fn find<'r>(roles: &'r [Role]) -> impl Fn(RoleId) -> Option<&'r Role> {
    move |id| roles.iter().find(|role| role.id == id)
}

fn subject(roles: &[RoleId]) -> Subject<'_> {
    Subject {
        guild: GUILD,
        owner: OWNER,
        user: USER,
        roles,
        timed_out: false,
    }
}

/// The algorithm as the documentation spells it out (Discord docs, Permissions, "Permission
/// Overwrites"), with the implicit permissions at the end.
fn documented(base: Permissions, overwrites: &[Overwrite], own: &[RoleId]) -> Permissions {
    if base.contains(Permissions::ADMINISTRATOR) {
        return Permissions::all();
    }
    let of_role = |id: u64| {
        let found = overwrites.iter().find(|o| o.kind == 0 && o.id.get() == id);
        found.map_or((Permissions::empty(), Permissions::empty()), |o| {
            (o.allow, o.deny)
        })
    };
    let mut permissions = base;
    let (allow, deny) = of_role(GUILD.get());
    permissions &= !deny;
    permissions |= allow;
    let (mut allows, mut denies) = (Permissions::empty(), Permissions::empty());
    for role in own {
        let (allow, deny) = of_role(role.get());
        allows |= allow;
        denies |= deny;
    }
    permissions &= !denies;
    permissions |= allows;
    if let Some(member) = overwrites
        .iter()
        .find(|o| o.kind == 1 && o.id.get() == USER.get())
    {
        permissions &= !member.deny;
        permissions |= member.allow;
    }
    if !permissions.contains(Permissions::VIEW_CHANNEL) {
        return Permissions::empty();
    }
    if !permissions.contains(Permissions::SEND_MESSAGES) {
        for bit in [
            Permissions::MENTION_EVERYONE,
            Permissions::SEND_TTS_MESSAGES,
            Permissions::ATTACH_FILES,
            Permissions::EMBED_LINKS,
        ] {
            permissions &= !bit;
        }
    }
    permissions
}

#[test]
fn documented_cases() {
    let view = Permissions::VIEW_CHANNEL;
    let send = Permissions::SEND_MESSAGES;
    let none = Permissions::empty();
    let (a, b): (RoleId, RoleId) = (Id::new(10), Id::new(11));
    let everyone: RoleId = GUILD.cast();
    // (what, base, overwrites, expected)
    let table = [
        (
            "no overwrites leave the base",
            view | send,
            vec![],
            view | send,
        ),
        (
            "@everyone denies",
            view | send,
            vec![Overwrite::role(everyone, none, send)],
            view,
        ),
        (
            "a role allows what @everyone denies",
            view | send,
            vec![
                Overwrite::role(everyone, none, send),
                Overwrite::role(a, send, none),
            ],
            view | send,
        ),
        (
            "an allow of one role beats the deny of another, in either order",
            view | send,
            vec![
                Overwrite::role(a, send, none),
                Overwrite::role(b, none, send),
            ],
            view | send,
        ),
        (
            "the member's deny beats a role's allow",
            view | send,
            vec![
                Overwrite::member(USER, none, send),
                Overwrite::role(a, send, none),
            ],
            view,
        ),
        (
            "the member's allow beats a role's deny, though it stands first",
            view | send,
            vec![
                Overwrite::member(USER, send, none),
                Overwrite::role(a, none, send),
            ],
            view | send,
        ),
        (
            "overwrites of others do not count",
            view | send,
            vec![
                Overwrite::role(Id::new(99), none, view),
                Overwrite::member(OWNER, none, view),
            ],
            view | send,
        ),
        (
            "a role's id is not a member's id",
            view | send,
            vec![Overwrite::role(USER.cast(), none, view)],
            view | send,
        ),
        (
            "without VIEW_CHANNEL nothing is left",
            view | send | Permissions::MANAGE_MESSAGES,
            vec![Overwrite::role(everyone, none, view)],
            none,
        ),
        (
            "without SEND_MESSAGES nothing that needs it is left",
            view | send
                | Permissions::EMBED_LINKS
                | Permissions::ATTACH_FILES
                | Permissions::MENTION_EVERYONE
                | Permissions::SEND_TTS_MESSAGES
                | Permissions::ADD_REACTIONS,
            vec![Overwrite::role(everyone, none, send)],
            view | Permissions::ADD_REACTIONS,
        ),
        (
            "an administrator is not bound by overwrites",
            Permissions::ADMINISTRATOR,
            vec![Overwrite::member(USER, none, Permissions::all())],
            Permissions::all(),
        ),
    ];
    for (what, base, overwrites, expected) in table {
        assert_eq!(
            subject(&[a, b]).in_channel(base, &overwrites),
            expected,
            "{what}"
        );
    }
}

#[test]
fn base_is_everyone_and_roles() {
    let all = roles(&[
        (1, Permissions::VIEW_CHANNEL),
        (10, Permissions::KICK_MEMBERS),
        (11, Permissions::ADMINISTRATOR),
    ]);
    let base = |own: &[u64]| {
        let own: Vec<RoleId> = own.iter().map(|id| Id::new(*id)).collect();
        subject(&own).base(find(&all))
    };
    assert_eq!(base(&[]), Permissions::VIEW_CHANNEL);
    assert_eq!(
        base(&[10]),
        Permissions::VIEW_CHANNEL | Permissions::KICK_MEMBERS
    );
    assert_eq!(base(&[10, 11]), Permissions::all());
    assert_eq!(
        base(&[404]),
        Permissions::VIEW_CHANNEL,
        "an unknown role grants nothing"
    );
    let owner = Subject {
        user: OWNER,
        ..subject(&[])
    };
    assert_eq!(owner.base(find(&[])), Permissions::all());
    let overwrites = [Overwrite::member(
        OWNER,
        Permissions::empty(),
        Permissions::all(),
    )];
    assert_eq!(
        owner.in_channel(Permissions::empty(), &overwrites),
        Permissions::all()
    );
}

#[test]
fn a_time_out_leaves_view_and_history() {
    let all = roles(&[(1, everyone_default())]);
    let out = Subject {
        timed_out: true,
        ..subject(&[])
    };
    let kept = Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY;
    assert_eq!(out.base(find(&all)), kept);
    // A member overwrite that allows cannot give back what the time-out took.
    let overwrites = [Overwrite::member(
        USER,
        Permissions::SEND_MESSAGES,
        Permissions::empty(),
    )];
    assert_eq!(out.in_channel(kept, &overwrites), kept);
}

#[test]
fn hierarchy() {
    let all = roles(&[
        (1, Permissions::empty()),
        (10, Permissions::KICK_MEMBERS),
        (11, Permissions::KICK_MEMBERS),
    ]);
    let find = find(&all);
    let (low, high): ([RoleId; 1], [RoleId; 2]) = ([Id::new(10)], [Id::new(11), Id::new(10)]);
    let of = |user: u64, roles| Subject {
        user: Id::new(user),
        ..subject(roles)
    };
    let (a, b, plain, owner) = (of(30, &high), of(31, &low), of(32, &[]), of(2, &[]));
    assert_eq!(a.highest_role(&find).map(|role| role.id.get()), Some(11));
    assert!(a.outranks(&b, &find) && !b.outranks(&a, &find));
    assert!(b.outranks(&plain, &find) && !plain.outranks(&b, &find));
    assert!(!a.outranks(&a, &find), "nobody outranks themselves");
    assert!(
        !b.outranks(&of(33, &low), &find),
        "equal roles do not outrank"
    );
    assert!(
        !plain.outranks(&of(34, &[]), &find),
        "no roles do not outrank"
    );
    assert!(owner.outranks(&a, &find) && !a.outranks(&owner, &find));
    assert!(!owner.outranks(&owner, &find));
    assert!(a.can_manage_role(&all[1], &find));
    assert!(
        !a.can_manage_role(&all[2], &find),
        "not their own highest role"
    );
    assert!(owner.can_manage_role(&all[2], &find));
    assert!(!plain.can_manage_role(&all[0], &find));
}

#[test]
fn ties_of_position_go_to_the_older_role() {
    let older = Role::new(Id::new(10), "older", Permissions::empty(), 1);
    let newer = Role::new(Id::new(11), "newer", Permissions::empty(), 1);
    assert_eq!(
        highest([&newer, &older]).map(|role| role.id.get()),
        Some(10)
    );
    assert!(can_manage(false, Some(&older), Some(&newer)));
    assert!(!can_manage(false, Some(&newer), Some(&older)));
    assert_eq!(highest([]), None);
}

#[test]
fn nobody_grants_what_they_lack() {
    let own = Permissions::MANAGE_ROLES | Permissions::KICK_MEMBERS;
    let ban = Permissions::BAN_MEMBERS;
    assert!(can_change(
        own,
        Permissions::empty(),
        Permissions::KICK_MEMBERS
    ));
    assert!(can_change(
        own,
        Permissions::KICK_MEMBERS,
        Permissions::empty()
    ));
    assert!(!can_change(own, Permissions::empty(), ban));
    assert!(
        !can_change(own, ban, Permissions::empty()),
        "nor takes it away"
    );
    assert!(
        can_change(own, ban, ban | Permissions::KICK_MEMBERS),
        "untouched bits do not count"
    );
    assert!(can_change(
        Permissions::ADMINISTRATOR,
        Permissions::empty(),
        ban
    ));
}

/// Bits that both sides treat alike in a text channel: no guild-wide ones, and not VIEW_CHANNEL
/// and SEND_MESSAGES, whose implicit rules `twilight-util` applies to explicit denies only.
fn common() -> Permissions {
    Permissions::ADD_REACTIONS
        | Permissions::ATTACH_FILES
        | Permissions::CREATE_INVITE
        | Permissions::EMBED_LINKS
        | Permissions::MANAGE_CHANNELS
        | Permissions::MANAGE_MESSAGES
        | Permissions::MANAGE_ROLES
        | Permissions::MANAGE_WEBHOOKS
        | Permissions::MENTION_EVERYONE
        | Permissions::READ_MESSAGE_HISTORY
        | Permissions::SEND_TTS_MESSAGES
        | Permissions::USE_EXTERNAL_EMOJIS
        | Permissions::USE_SLASH_COMMANDS
}

fn any_permissions() -> impl Strategy<Value = Permissions> {
    any::<u64>().prop_map(Permissions::from_bits_truncate)
}

/// Overwrites of `@everyone`, of three roles and of two members: each target at most once, in any
/// order.
fn any_overwrites() -> impl Strategy<Value = Vec<Overwrite>> {
    const TARGETS: [(u64, bool); 6] = [
        (GUILD.get(), false),
        (10, false),
        (11, false),
        (12, false),
        (USER.get(), true),
        (77, true),
    ];
    let drawn = (any::<bool>(), any_permissions(), any_permissions());
    vec(drawn, TARGETS.len())
        .prop_map(|drawn| {
            TARGETS
                .into_iter()
                .zip(drawn)
                .filter(|(_, (kept, _, _))| *kept)
                .map(|((id, member), (_, allow, deny))| Overwrite {
                    id: Id::new(id),
                    kind: u8::from(member),
                    allow,
                    deny,
                })
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn agrees_with_the_documentation(
        base in any_permissions(),
        overwrites in any_overwrites(),
        count in 0..3_usize,
    ) {
        let own: [RoleId; 2] = [Id::new(10), Id::new(11)];
        let own = &own[..count.min(2)];
        prop_assert_eq!(
            subject(own).in_channel(base, &overwrites),
            documented(base, &overwrites, own)
        );
    }

    #[test]
    fn agrees_with_twilight(
        everyone in any_permissions(),
        granted in vec(any_permissions(), 2),
        overwrites in any_overwrites(),
    ) {
        let seen = Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES;
        let everyone = everyone | seen;
        let mut overwrites = overwrites;
        for overwrite in &mut overwrites {
            overwrite.deny -= seen;
        }
        let all = roles(&[(1, everyone), (10, granted[0]), (11, granted[1])]);
        let own: [RoleId; 2] = [Id::new(10), Id::new(11)];
        let ours = subject(&own);
        let base = ours.base(find(&all));

        let theirs: Vec<PermissionOverwrite> = overwrites
            .iter()
            .map(|overwrite| PermissionOverwrite {
                allow: overwrite.allow,
                deny: overwrite.deny,
                id: overwrite.id,
                kind: PermissionOverwriteType::from(overwrite.kind),
            })
            .collect();
        let member_roles = [(own[0], granted[0]), (own[1], granted[1])];
        let calculator =
            PermissionCalculator::new(GUILD, USER, everyone, &member_roles).owner_id(OWNER);
        prop_assert_eq!(base, calculator.root());
        prop_assert_eq!(
            ours.in_channel(base, &overwrites) & common(),
            calculator.in_channel(ChannelType::GuildText, &theirs) & common()
        );
    }

    #[test]
    fn order_of_overwrites_does_not_matter(base in any_permissions(), overwrites in any_overwrites()) {
        let own: [RoleId; 2] = [Id::new(10), Id::new(11)];
        let mut reversed = overwrites.clone();
        reversed.reverse();
        prop_assert_eq!(
            subject(&own).in_channel(base, &overwrites),
            subject(&own).in_channel(base, &reversed)
        );
    }

    #[test]
    fn denying_more_never_gives_more(
        base in any_permissions(),
        overwrites in any_overwrites(),
        more in any_permissions(),
    ) {
        let own: [RoleId; 2] = [Id::new(10), Id::new(11)];
        let before = subject(&own).in_channel(base, &overwrites);
        let mut denied = overwrites;
        for overwrite in &mut denied {
            overwrite.deny |= more;
        }
        let after = subject(&own).in_channel(base, &denied);
        prop_assert!(before.contains(after));
    }

    #[test]
    fn outranking_is_a_strict_order(positions in vec(0..4_u32, 3)) {
        let all: Vec<Role> = positions
            .iter()
            .zip(10..)
            .map(|(position, id)| Role::new(Id::new(id), "r", Permissions::empty(), *position))
            .collect();
        let above = |a: usize, b: usize| can_manage(false, Some(&all[a]), Some(&all[b]));
        for a in 0..3 {
            prop_assert!(!above(a, a));
            for b in 0..3 {
                prop_assert!(a == b || above(a, b) != above(b, a));
                for c in 0..3 {
                    prop_assert!(!(above(a, b) && above(b, c)) || above(a, c));
                }
            }
        }
    }
}
