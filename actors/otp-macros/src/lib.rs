//! The attribute macro of the actor runtime. Use it as `otp::gen_server`; its page there has an
//! example that compiles.
//!
//! ```text
//!  impl block ──▶ method.rs ──▶ server.rs ──▶ generate.rs ──▶ the block, a message enum,
//!                 one method    the whole     tokens          `impl GenServer`, a client,
//!                               block                         start functions
//! ```
//!
//! What it writes is what one would write by hand on the public interface of `otp`: no box, no
//! table, no dispatch but one `match`.

use proc_macro::TokenStream;

mod gen_server;

/// # Methods
///
/// | attribute | signature | what it is |
/// |---|---|---|
/// | `#[init]` | `async fn(args.., ctx) -> Init<Self>` | `gen_server:init/1`. No parameter makes `Args = ()`, one its type, several a tuple. Exactly one. |
/// | `#[call]` | `async fn(&self, params..) -> T` | a question; the caller gets `T`. If `T` is a `Result`, its error goes to the caller and does not end the server (in Erlang it would). |
/// | `#[call]` | `async fn(&mut self, params.., from: From<T>)`, returns nothing or `Next<Self>` | a question which is answered through `from`: later, from elsewhere, or before the server ends or goes on with something else. |
/// | `#[cast]` | `async fn(&mut self, params..)`, returns nothing or `Next<Self>` | a message without an answer. |
/// | `#[continuation]` | `async fn(&mut self, params..)`, returns nothing or `Next<Self>` | `gen_server:handle_continue/2`. `Self::continue_NAME(params..)` makes the message for `Init::Continue` and `Next::Continue`, and for timers. |
/// | `#[info]` | `async fn(&mut self, info: Info)`, returns nothing or `Next<Self>` | `gen_server:handle_info/2`: EXIT, DOWN, timeouts, untyped messages. At most one. |
/// | `#[terminate]` | `async fn(&mut self, reason: &ExitReason)`, returns nothing | `gen_server:terminate/2`. At most one. |
///
/// * `ctx: &mut Context<Self>` may stand anywhere among the parameters of each of them, or be left
///   out. It is known by its type.
/// * `self` is taken as `&mut self` or `&self`. A future which holds `&self` is only `Send` if the
///   state is `Sync`; take `&mut self` if the compiler complains.
/// * Returning nothing means `Next::Go`.
/// * Parameters and answers are sent to another process: they own what they hold.
/// * Methods without an attribute stay what they are.
/// * The block may have type parameters (`impl<T: Send + 'static> Cart<T>`); methods with an
///   attribute may not, because a message has one type.
///
/// # What is written
///
/// For `impl Cart`:
///
/// * `CartMessage`: one variant for each call, cast and continuation, with named fields. The reply
///   handle of a call is the field `from` (`reply_to` if a parameter is called `from`), or what
///   the method calls its own. `CartMessage::name` tells which one it is.
/// * `impl GenServer for Cart`.
/// * `CartClient`, a reference to the server with a method for each call and cast:
///   `async fn total(&self) -> Result<Money, CallError>`, `fn add(&self, item: Item)` and
///   `fn try_add(..)`, which gives a refused message back. Documentation and visibility are those
///   of the method. Besides: `server_ref`, `pid`, `within(limit)` and `without_limit()` for calls
///   which wait shorter or longer than `DEFAULT_CALL_TIMEOUT`, `from_pid`, `whereis`, and
///   `From<ServerRef<Cart>>`.
/// * `Cart::start(&node, args, options)`, `Cart::start_link(&ctx, args, options)` and
///   `Cart::child_spec(id, factory)`, a permanent worker. A method of that name in the block takes
///   the place of the written one.
///
/// # Arguments
///
/// `#[gen_server(message = Request, client = Handle, visibility = pub(crate), crate = path)]`:
/// other names for the two types; the visibility of all that is written, `pub` by default; where
/// the runtime is, `::otp` by default. All may be left out.
#[proc_macro_attribute]
pub fn gen_server(arguments: TokenStream, block: TokenStream) -> TokenStream {
    gen_server::expand_or_explain(arguments.into(), block.into()).into()
}
