//! Users: what everyone may see of an account, and the account itself.

use serde::{Deserialize, Serialize};

use crate::Unset;
use crate::application::Application;
use crate::id::UserId;

/// A user as others see it (Discord docs, User Resource, "User Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Name, unique among people.
    pub username: String,
    /// Four digits for bots (`"0000"`), `"0"` for people.
    pub discriminator: String,
    /// Display name.
    pub global_name: Option<String>,
    /// Avatar hash.
    pub avatar: Option<String>,
    /// Whether the account is a bot. Left out when false: some clients mark any author that has
    /// the key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
    /// Banner hash.
    #[serde(default)]
    pub banner: Option<String>,
    /// Banner colour as 0xRRGGBB.
    #[serde(default)]
    pub accent_color: Option<u32>,
    /// Public flags (badges).
    #[serde(default)]
    pub public_flags: u64,
    /// All flags.
    #[serde(default)]
    pub flags: u64,
    /// Avatar decoration.
    #[serde(default)]
    pub avatar_decoration_data: Unset,
    /// Collectibles.
    #[serde(default)]
    pub collectibles: Unset,
    /// Server tag.
    #[serde(default)]
    pub primary_guild: Unset,
}

impl User {
    /// A new bot or person with nothing but a name.
    pub fn new(id: UserId, username: impl Into<String>, bot: bool) -> Self {
        Self {
            id,
            username: username.into(),
            discriminator: if bot { "0000" } else { "0" }.to_owned(),
            global_name: None,
            avatar: None,
            bot,
            banner: None,
            accent_color: None,
            public_flags: 0,
            flags: 0,
            avatar_decoration_data: None,
            collectibles: None,
            primary_guild: None,
        }
    }

    /// The author shown where an account no longer exists.
    pub fn deleted(id: UserId) -> Self {
        Self::new(id, "Deleted User", false)
    }
}

/// The user a token belongs to, with what only its owner may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurrentUser {
    /// The public part.
    #[serde(flatten)]
    pub user: User,
    /// Whether the e-mail address is verified.
    pub verified: bool,
    /// Whether two-factor authentication is on.
    pub mfa_enabled: bool,
    /// E-mail address; `null` for bots.
    pub email: Option<String>,
    /// Language tag.
    pub locale: String,
    /// About me.
    pub bio: String,
    /// Subscription kind, 0 = none.
    pub premium_type: u8,
}

/// What is stored for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The public part.
    pub user: User,
    /// E-mail address, for people.
    #[serde(default)]
    pub email: Option<String>,
    /// The application a bot belongs to; `None` for people.
    #[serde(default)]
    pub application: Option<Application>,
    /// Raised to make all earlier tokens of the account invalid.
    #[serde(default)]
    pub token_generation: u32,
}

impl Account {
    /// The account as its owner sees it.
    pub fn current_user(&self) -> CurrentUser {
        CurrentUser {
            user: self.user.clone(),
            verified: true,
            mfa_enabled: false,
            email: self.email.clone(),
            locale: "en-US".to_owned(),
            bio: String::new(),
            premium_type: 0,
        }
    }
}
