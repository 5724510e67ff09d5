//! Emoji as reactions and components name them.

use serde::{Deserialize, Serialize};

use crate::id::EmojiId;

/// A unicode or custom emoji (Discord docs, Emoji Resource).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReactionEmoji {
    /// Id of a custom emoji; `null` for unicode.
    pub id: Option<EmojiId>,
    /// The unicode emoji, or the name of a custom one.
    pub name: Option<String>,
    /// Whether a custom emoji is animated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
}

impl ReactionEmoji {
    /// The key reactions are counted under: `name` for unicode, `name:id` for custom emoji.
    pub fn key(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match self.id {
            Some(id) => format!("{name}:{id}"),
            None => name.to_owned(),
        }
    }

    /// Whether both are the same emoji: a unicode emoji stays what it is with or without the sign
    /// that asks for its coloured form (U+FE0F), which some clients leave out.
    pub fn is_same(&self, other: &Self) -> bool {
        const COLOURED: char = '\u{fe0f}';
        let bare = |emoji: &Self| emoji.name.as_deref().map(|name| name.replace(COLOURED, ""));
        self.key() == other.key()
            || self.id.is_none() && other.id.is_none() && bare(self) == bare(other)
    }

    /// Reads what stands in a URL after percent-decoding: `👍`, `name:id`, `a:name:id`.
    ///
    /// # Errors
    /// `None` for an empty or over-long text, or an id that is no snowflake: answer 10014
    /// "Unknown Emoji".
    pub fn parse(text: &str) -> Option<Self> {
        const NAME_MAX: usize = 64;
        let (animated, text) = match text.strip_prefix("a:") {
            Some(rest) if rest.contains(':') => (true, rest),
            _ => (false, text),
        };
        let text = text.trim_matches(['<', '>']).trim_start_matches(':');
        if text.is_empty() || text.len() > NAME_MAX {
            return None;
        }
        match text.rsplit_once(':') {
            Some((name, id)) => {
                let id = id.parse().ok()?;
                Some(Self {
                    id: Some(id),
                    name: Some(name.to_owned()),
                    animated,
                })
            }
            None if text.is_ascii() => None,
            None => Some(Self {
                id: None,
                name: Some(text.to_owned()),
                animated: false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coloured_form_is_the_same_emoji() {
        let read = |text| ReactionEmoji::parse(text).expect("an emoji");
        assert!(read("\u{2764}\u{fe0f}").is_same(&read("\u{2764}")));
        assert!(!read("\u{2764}").is_same(&read("👍")));
        assert!(read("wave:77").is_same(&read("wave:77")));
        assert!(!read("wave:77").is_same(&read("wave:78")));
    }

    #[test]
    fn parses_unicode_and_custom() {
        assert_eq!(
            ReactionEmoji::parse("👍").map(|e| e.key()),
            Some("👍".to_owned())
        );
        assert_eq!(
            ReactionEmoji::parse("wave:77").map(|e| e.key()),
            Some("wave:77".to_owned())
        );
        assert!(ReactionEmoji::parse("a:wave:77").is_some_and(|e| e.animated));
        assert_eq!(ReactionEmoji::parse(""), None);
        assert_eq!(ReactionEmoji::parse("thumbsup"), None);
        assert_eq!(ReactionEmoji::parse("wave:x"), None);
    }
}
