//! The rules of a login.
#![allow(clippy::unwrap_used)]

use super::*;
use model::Id;
use model::application::Application;
use model::user::User;

fn account(bot: bool, flags: u64) -> Account {
    let application = Application {
        id: Id::new(1),
        name: "A".to_owned(),
        description: String::new(),
        flags,
    };
    Account {
        user: User::new(Id::new(1), "A", bot),
        email: None,
        application: bot.then_some(application),
        token_generation: 0,
    }
}

fn identify(intents: Option<Intents>) -> Identify {
    Identify {
        token: String::new(),
        platform: Device::Desktop,
        mobile: false,
        compress: false,
        large_threshold: 50,
        shard: None,
        presence: None,
        intents,
    }
}

#[test]
fn bots_send_intents_and_need_grants() {
    let (plain, granted) = (
        account(true, 0),
        account(true, model::application::flags::ALL_PRIVILEGED),
    );
    assert_eq!(
        intents_of(&identify(None), &plain),
        Err(CloseCode::InvalidIntents)
    );
    let few = Intents::GUILDS | Intents::GUILD_MESSAGES;
    assert_eq!(intents_of(&identify(Some(few)), &plain), Ok(few));
    let all = Some(Intents::ALL);
    assert_eq!(
        intents_of(&identify(all), &plain),
        Err(CloseCode::DisallowedIntents)
    );
    assert_eq!(intents_of(&identify(all), &granted), Ok(Intents::ALL));
}

#[test]
fn people_have_all_unless_they_say_otherwise() {
    let person = account(false, 0);
    assert_eq!(intents_of(&identify(None), &person), Ok(Intents::ALL));
    let few = Intents::GUILDS;
    assert_eq!(intents_of(&identify(Some(few)), &person), Ok(few));
}
