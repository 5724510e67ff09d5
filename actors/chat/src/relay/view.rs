//! What a member may see of a guild: the channels, fixed until the guild sends a new one.

use model::ChannelId;

/// The channels a user may view. Members who see the same share one value; the guild makes it,
/// relays only ask it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// Sorted, without repeats.
    channels: Box<[ChannelId]>,
}

impl View {
    /// A view of exactly these channels.
    pub fn new(channels: impl IntoIterator<Item = ChannelId>) -> Self {
        let mut channels: Vec<ChannelId> = channels.into_iter().collect();
        channels.sort_unstable();
        channels.dedup();
        Self {
            channels: channels.into_boxed_slice(),
        }
    }

    /// Whether the channel may be viewed.
    pub fn may_see(&self, channel: ChannelId) -> bool {
        self.channels.binary_search(&channel).is_ok()
    }

    /// The channels, in id order.
    pub fn channels(&self) -> &[ChannelId] {
        &self.channels
    }
}

impl FromIterator<ChannelId> for View {
    fn from_iter<I: IntoIterator<Item = ChannelId>>(channels: I) -> Self {
        Self::new(channels)
    }
}
