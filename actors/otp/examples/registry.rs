//! A registry as a publish/subscribe hub, and as names of processes.
//!
//! Run it with `cargo run -p guildhall-otp --example otp-registry`.

use std::error::Error;

use otp::registry::{Keys, RegistryEvent};
use otp::{
    Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, Registry,
    RegistryOptions, Supervisor,
};

/// Which processes listen to a channel, each with the colour it shows messages in.
type Channels = Registry<&'static str, &'static str>;

/// Listens to channels.
struct Subscriber {
    name: &'static str,
    channels: Channels,
}

enum Message {
    Subscribe(&'static str, &'static str, From<()>),
    Text(String),
    Sync(From<()>),
    Crash,
}

impl GenServer for Subscriber {
    type Args = (&'static str, Channels);
    type Message = Message;

    async fn init((name, channels): Self::Args, _ctx: &mut Context<Self>) -> Init<Self> {
        Init::Ok(Subscriber { name, channels })
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            // A process registers itself; the entry goes when the process does.
            Message::Subscribe(channel, colour, from) => {
                let done = self.channels.by(&*ctx).register(channel, colour);
                println!("  {} subscribes to {channel}: {done:?}", self.name);
                from.reply(());
            }
            Message::Text(text) => println!("  {} got {text}", self.name),
            Message::Sync(from) => from.reply(()),
            Message::Crash => return Next::Stop(ExitReason::error("a bug")),
        }
        Next::Go
    }
}

/// Is told who comes and goes.
struct Doorkeeper;

impl GenServer for Doorkeeper {
    type Args = ();
    type Message = From<()>;

    async fn init((): (), _ctx: &mut Context<Self>) -> Init<Self> {
        Init::Ok(Doorkeeper)
    }

    async fn handle(&mut self, from: From<()>, _ctx: &mut Context<Self>) -> Next<Self> {
        from.reply(());
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        if let Info::Message(message) = info
            && let Ok(event) = message.downcast::<RegistryEvent<&str, &str>>()
        {
            match *event {
                RegistryEvent::Registered { key, pid, .. } => {
                    println!("  doorkeeper: {pid} came to {key}");
                }
                RegistryEvent::Unregistered { key, pid, .. } => {
                    println!("  doorkeeper: {pid} left {key}");
                }
            }
        }
        Next::Go
    }
}

/// Sends a text to everybody who listens to a channel.
fn publish(node: &Node, channels: &Channels, channel: &'static str, text: &str) {
    let sent = channels.dispatch(&channel, |entries| {
        for (pid, colour) in entries {
            if let Some(subscriber) = node.server_ref::<Subscriber>(*pid) {
                subscriber.cast(Message::Text(format!("{text:?} in {colour}")));
            }
        }
    });
    if let Err(error) = sent {
        println!("  not everybody was told: {error}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::new("example");

    println!("a registry with duplicate keys, in a supervision tree:");
    let options = RegistryOptions::new()
        .keys(Keys::DuplicateByKey)
        .partition_per_core()
        .listener("doorkeeper");
    let channels = Channels::with_options(&node, options);
    let tree = Supervisor::one_for_one().child(channels.child_spec("channels"));
    println!("  before the start: {:?}", channels.count());
    tree.start(&node, Options::new()).await?;
    let door = Options::new().name("doorkeeper");
    let doorkeeper = otp::start::<Doorkeeper>(&node, (), door).await?;

    println!("subscribing:");
    let names = Registry::<&str>::new(&node);
    let mut subscribers = Vec::new();
    for (name, colour) in [("anna", "red"), ("bert", "blue")] {
        // Unique keys name processes.
        let options = Options::new().via(&names.via(name)?);
        let args = (name, channels.clone());
        let subscriber = otp::start::<Subscriber>(&node, args, options).await?;
        let subscribe = |from| Message::Subscribe("lobby", colour, from);
        subscriber.call(subscribe).await?;
        doorkeeper.call(|from| from).await?;
        subscribers.push(subscriber);
    }
    let second = ("anna", channels.clone());
    let options = Options::new().via(&names.via("anna")?);
    let second = otp::start::<Subscriber>(&node, second, options).await;
    println!("  a second anna: {second:?}");

    println!("publishing:");
    publish(&node, &channels, "lobby", "hello");
    for subscriber in &subscribers {
        subscriber.call(Message::Sync).await?;
    }

    println!("a subscriber crashes:");
    let anna = names.via("anna")?;
    anna.cast::<Subscriber>(Message::Crash);
    subscribers[0].wait_for_exit().await;
    println!("  anna is {:?} now", anna.whereis()?);
    publish(&node, &channels, "lobby", "who is there?");
    subscribers[1].call(Message::Sync).await?;

    println!("one at a time:");
    let (one, two) = tokio::join!(
        channels.lock("lobby", async {
            println!("  the first sweeps the lobby");
            tokio::task::yield_now().await;
            println!("  the first is done");
        }),
        channels.lock("lobby", async { println!("  the second sweeps the lobby") }),
    );
    one.and(two)?;
    Ok(())
}
