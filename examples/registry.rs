//! One process per key: many callers ask for the same key at once and meet in one process.
//!
//! Run it with `cargo run --example registry`.

use otp::{Context, From, GenRegistry, GenServer, Init, Next, Node};

struct Room {
    name: String,
    visits: u32,
}

enum Message {
    Enter(From<u32>),
}

impl GenServer for Room {
    type Args = String;
    type Message = Message;

    async fn init(name: String, ctx: &mut Context<Self>) -> Init<Self> {
        println!("room {name}: started as {}", ctx.pid());
        Init::Ok(Room { name, visits: 0 })
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            Message::Enter(from) => {
                self.visits += 1;
                from.reply(self.visits);
                if self.visits == 100 {
                    println!("room {}: a hundred visits", self.name);
                }
            }
        }
        Next::Go
    }
}

#[tokio::main]
async fn main() {
    let node = Node::new("example");
    let rooms = GenRegistry::<String, Room>::new(&node);

    let mut visitors = Vec::new();
    for _ in 0..100 {
        let rooms = rooms.clone();
        visitors.push(tokio::spawn(async move {
            let key = "lobby".to_owned();
            let room = rooms
                .lookup_or_start(&key, || key.clone())
                .await
                .expect("rooms start");
            room.call(Message::Enter).await.expect("the room lives")
        }));
    }
    let mut numbers = Vec::new();
    for visitor in visitors {
        numbers.push(visitor.await.expect("a visitor does not panic"));
    }
    numbers.sort_unstable();
    println!(
        "main: visits {}..={} in {} room",
        numbers[0],
        numbers[99],
        rooms.count()
    );
}
