//! The second way to write a [`crate::GenServer`]: an attribute on an `impl` block, which writes
//! the message enum, the `match` and a typed client. Both ways give the same envelope.

/// Writes a server from an `impl` block: its message enum, its [`GenServer`](trait@crate::GenServer),
/// and a client with a method for each call and cast.
///
/// It writes what one would write by hand, no more: the enum is public, a message made by hand is
/// the same message, and there is no box and no dispatch but one `match`.
///
/// ```
/// use std::time::Duration;
///
/// use otp::{Context, ExitReason, From, Info, Init, Next, Node, Options, gen_server};
///
/// struct Cart {
///     owner: String,
///     items: Vec<(String, u64)>,
///     discount: u64,
/// }
///
/// #[gen_server]
/// impl Cart {
///     #[init]
///     async fn init(owner: String, ctx: &mut Context<Self>) -> Init<Self> {
///         ctx.trap_exit(true);
///         let cart = Cart { owner, items: Vec::new(), discount: 0 };
///         // The starter does not wait for this, but every other message does.
///         Init::Continue(cart, Self::continue_load_discount(10))
///     }
///
///     #[continuation]
///     async fn load_discount(&mut self, percent: u64) {
///         self.discount = percent;
///     }
///
///     /// Puts something into the cart.
///     #[cast]
///     async fn add(&mut self, item: String, price: u64) {
///         self.items.push((item, price));
///     }
///
///     /// What everything costs together.
///     #[call]
///     async fn total(&self) -> u64 {
///         let full: u64 = self.items.iter().map(|(_, price)| price).sum();
///         full - full * self.discount / 100
///     }
///
///     /// Takes something out. The caller gets the error; the cart goes on.
///     #[call]
///     async fn remove(&mut self, item: String) -> Result<u64, NotInCart> {
///         let found = self.items.iter().position(|(name, _)| *name == item);
///         Ok(self.items.remove(found.ok_or(NotInCart)?).1)
///     }
///
///     /// Pays, and ends the cart. Answers before it ends.
///     #[call]
///     async fn check_out(&mut self, from: From<String>) -> Next<Self> {
///         from.reply(format!("{} pays {}", self.owner, self.total().await));
///         Next::Stop(ExitReason::Normal)
///     }
///
///     #[info]
///     async fn info(&mut self, info: Info) -> Next<Self> {
///         match info {
///             Info::Exit { reason, .. } => Next::Stop(reason),
///             _ => Next::Go,
///         }
///     }
///
///     #[terminate]
///     async fn terminate(&mut self, reason: &ExitReason) {
///         println!("the cart of {} ends: {reason}", self.owner);
///     }
/// }
///
/// #[derive(Debug, PartialEq)]
/// struct NotInCart;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("example");
/// let cart = Cart::start(&node, "ada".into(), Options::new().name("cart")).await?;
/// cart.add("tea".into(), 600);
/// cart.add("cup".into(), 400);
/// assert_eq!(cart.total().await?, 900);
/// assert_eq!(cart.remove("pot".into()).await?, Err(NotInCart));
///
/// // The same message, made by hand.
/// cart.server_ref().cast(CartMessage::Add { item: "pot".into(), price: 1000 });
/// assert_eq!(cart.within(Duration::from_secs(1)).total().await?, 1800);
/// assert_eq!(cart.check_out().await?, "ada pays 1800");
/// assert_eq!(cart.server_ref().wait_for_exit().await, ExitReason::Normal);
/// # Ok(())
/// # }
/// ```
pub use otp_macros::gen_server;

/// What written code needs besides the public interface. Not for use by hand.
#[doc(hidden)]
pub mod macro_support {
    use std::time::Duration;

    use crate::gen_server::GenServer;
    use crate::server_ref::{CallError, From, ServerRef};

    /// Refuses what cannot be sent to another process.
    pub const fn sendable<T: Send + 'static>() {}

    /// A call with a limit, or for as long as the server lives.
    pub async fn call<S, T, F>(
        server: &ServerRef<S>,
        limit: Option<Duration>,
        request: F,
    ) -> Result<T, CallError>
    where
        S: GenServer,
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        match limit {
            Some(limit) => server.call_timeout(limit, request).await,
            None => server.call_infinity(request).await,
        }
    }
}
