//! Let it crash: a supervisor restarts its child, until it crashes too often.
//!
//! Run it with `cargo run --example supervision`.

use std::time::Duration;

use otp::{
    ChildSpec, Context, ExitReason, GenServer, Init, Next, Node, Options, Restart, Supervisor,
};

struct Fragile;

impl GenServer for Fragile {
    type Args = ();
    type Message = ();

    async fn init((): (), ctx: &mut Context<Self>) -> Init<Self> {
        println!("fragile: started as {}", ctx.pid());
        Init::Ok(Fragile)
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Self>) -> Next<Self> {
        Next::Stop(ExitReason::Error("something broke".into()))
    }
}

#[tokio::main]
async fn main() {
    let node = Node::new("example");
    let supervisor = Supervisor::one_for_one()
        .intensity(3, Duration::from_secs(5))
        .child(
            ChildSpec::worker::<Fragile>("fragile", || ())
                .options(|| Options::new().name("fragile"))
                .restart(Restart::Permanent),
        )
        .start(&node, Options::new().name("supervisor"))
        .await
        .expect("all children start");

    for crash in 1..=4 {
        let fragile = node
            .whereis_ref::<Fragile>("fragile")
            .expect("it was restarted");
        println!("main: crash {crash}");
        fragile.cast(());
        fragile.wait_for_exit().await;
        if crash < 4 {
            while node.whereis("fragile").is_none() {
                tokio::task::yield_now().await;
            }
        }
    }
    let reason = supervisor.wait_for_exit().await;
    println!("main: four crashes in five seconds were too many, the supervisor ended: {reason}");
}
