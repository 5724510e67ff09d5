//! Servers with type and constant parameters.

use std::collections::VecDeque;
use std::fmt::Display;
use std::marker::PhantomData;

use otp::{Context, From, Init, Options, gen_server};

use crate::support::node;

/// The newest `SIZE` things.
struct Ring<T, const SIZE: usize> {
    things: VecDeque<T>,
}

#[gen_server]
impl<T, const SIZE: usize> Ring<T, SIZE>
where
    T: Clone + Send + 'static,
    Vec<T>: Send,
{
    #[init]
    async fn init(first: Vec<T>) -> Init<Self> {
        let mut ring = Ring {
            things: VecDeque::new(),
        };
        for thing in first {
            ring.keep(thing);
        }
        Init::Ok(ring)
    }

    #[cast]
    async fn push(&mut self, thing: T) {
        self.keep(thing);
    }

    #[call]
    async fn all(&mut self) -> Vec<T> {
        self.things.iter().cloned().collect()
    }

    #[call]
    async fn array(&mut self, empty: [u8; SIZE], from: From<[u8; SIZE]>) {
        from.reply(empty);
    }

    /// The state itself, by its short name.
    #[call]
    async fn copy(&mut self) -> Option<Box<Self>> {
        Some(Box::new(Ring {
            things: self.things.clone(),
        }))
    }

    #[continuation]
    async fn refill(&mut self, things: [T; SIZE], _ctx: &mut Context<Self>) {
        self.things = things.into();
    }

    fn keep(&mut self, thing: T) {
        self.things.push_back(thing);
        while self.things.len() > SIZE {
            self.things.pop_front();
        }
    }
}

#[tokio::test]
async fn parameters_go_through() {
    let ring = Ring::<String, 2>::start(&node(), vec!["a".into()], Options::new())
        .await
        .unwrap();
    ring.push("b".into());
    ring.push("c".into());
    assert_eq!(ring.all().await.unwrap(), ["b", "c"]);
    assert_eq!(ring.array([0; 2]).await, Ok([0; 2]));
    assert_eq!(ring.copy().await.unwrap().unwrap().things, ["b", "c"]);
    let refill = Ring::<String, 2>::continue_refill(["x".into(), "y".into()]);
    ring.server_ref().cast(refill);
    assert_eq!(ring.clone().all().await.unwrap(), ["x", "y"]);
}

/// Its parameters stand in no message, and need not be sized.
struct Greeter<T: ?Sized, L>(PhantomData<fn(L) -> Box<T>>);

#[gen_server]
impl<T: ?Sized + 'static, L: Display + Default + 'static> Greeter<T, L> {
    #[init]
    async fn init() -> Init<Self> {
        Init::Ok(Greeter(PhantomData))
    }

    #[call]
    async fn greet(&self) -> String {
        format!("{}{}", size_of::<&T>() / size_of::<usize>(), L::default())
    }
}

#[tokio::test]
async fn parameters_need_not_be_mentioned() {
    let node = node();
    let thin = Greeter::<u8, char>::start(&node, (), Options::new());
    assert_eq!(thin.await.unwrap().greet().await.unwrap(), "1\0");
    let wide = Greeter::<str, String>::start(&node, (), Options::new());
    assert_eq!(wide.await.unwrap().greet().await.unwrap(), "2");
    assert_eq!(
        size_of::<GreeterMessage<str, String>>(),
        size_of::<From<String>>(),
        "they cost nothing"
    );
}

/// Two servers from one generic type, with names of their own.
struct Shelf<T>(Vec<T>);

#[gen_server(message = NumberMessage, client = Numbers)]
impl Shelf<u64> {
    #[init]
    async fn init() -> Init<Self> {
        Init::Ok(Shelf(vec![1, 2]))
    }

    #[call]
    async fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[gen_server(message = WordMessage, client = Words)]
impl Shelf<&'static str> {
    #[init]
    async fn init() -> Init<Self> {
        Init::Ok(Shelf(vec!["a", "b"]))
    }

    #[call]
    async fn join(&self) -> String {
        self.0.concat()
    }
}

#[tokio::test]
async fn a_generic_type_may_be_several_servers() {
    let numbers: Numbers = Shelf::<u64>::start(&node(), (), Options::new())
        .await
        .unwrap();
    let words: Words = Shelf::<&str>::start(&node(), (), Options::new())
        .await
        .unwrap();
    assert_eq!(numbers.sum().await, Ok(3));
    assert_eq!(words.join().await.unwrap(), "ab");
}
