//! Calls, casts and delayed replies.

use std::hash::BuildHasher;
use std::time::Duration;

use otp::{CallError, Context, ExitReason, From, Init, Next, Options, Pid, SendError, gen_server};

use crate::support::node;

#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    TooMuch { balance: u64 },
}

pub(crate) struct Account {
    balance: u64,
    waiting: Vec<From<u64>>,
}

#[gen_server]
impl Account {
    const FEE: u64 = 1;

    #[init]
    async fn init(balance: u64) -> Init<Self> {
        Init::Ok(Account::with(balance))
    }

    /// Not a request: an ordinary function.
    fn with(balance: u64) -> Account {
        Account {
            balance,
            waiting: Vec::new(),
        }
    }

    /// What is in the account.
    #[call]
    async fn balance(&self) -> u64 {
        self.balance
    }

    #[call]
    async fn withdraw(&mut self, amount: u64) -> Result<u64, Refused> {
        let whole = amount + Self::FEE;
        let balance = self.balance;
        self.balance = balance
            .checked_sub(whole)
            .ok_or(Refused::TooMuch { balance })?;
        self.tell();
        Ok(self.balance)
    }

    /// A parameter may be called as the reply handle would be, and anything else.
    #[call]
    async fn describe(&mut self, from: String, mut to: String, r#type: u8, ctx: u8) -> String {
        to.push('!');
        format!("{from} {to} {} {ctx}", r#type)
    }

    #[call]
    async fn pid_and_len(&self, first: u8, ctx: &mut Context<Self>, second: u8) -> (Pid, u8) {
        (ctx.pid(), first - second)
    }

    #[call]
    async fn nothing(&mut self) {}

    #[cast]
    async fn deposit(&mut self, amount: u64) {
        self.balance += amount;
        self.tell();
    }

    #[cast]
    async fn close(&mut self) -> Next<Self> {
        Next::Stop(ExitReason::Shutdown)
    }

    /// Answers when the balance changes next.
    #[call]
    async fn next_balance(&mut self, from: From<u64>) {
        self.waiting.push(from);
    }

    /// Answers from another task.
    #[call]
    async fn later(&self, value: u8, from: From<u8>) {
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            from.reply(value + 1);
        });
    }

    /// Answers first and ends then.
    #[call]
    async fn close_with(
        &mut self,
        reason: ExitReason,
        from: From<u64>,
        ctx: &mut Context<Self>,
    ) -> Next<Self> {
        assert_eq!(ctx.mailbox_len(), 0);
        from.reply(self.balance);
        Next::Stop(reason)
    }

    #[call]
    async fn forget(&mut self, from: From<()>) {
        drop(from);
    }

    #[call]
    async fn crash(&self) -> u8 {
        panic!("asked to")
    }

    #[call]
    async fn ask_itself(&self, client: AccountClient) -> Result<u64, CallError> {
        client.balance().await
    }

    /// A cast may carry somebody's handle.
    #[cast]
    async fn answer_for(&self, from: From<u64>, plus: u64) {
        from.reply(self.balance + plus);
    }

    #[cfg(not(test))]
    #[call]
    async fn only_elsewhere(&self) -> NoSuchType {
        unreachable!()
    }

    fn tell(&mut self) {
        for from in self.waiting.drain(..) {
            from.reply(self.balance);
        }
    }
}

async fn account(balance: u64) -> AccountClient {
    Account::start(&node(), balance, Options::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn calls_and_casts_reach_their_methods() {
    let account = account(10).await;
    account.deposit(5);
    account.try_deposit(6).unwrap();
    assert_eq!(account.balance().await, Ok(21));
    assert_eq!(account.nothing().await, Ok(()));
    let words = ("a".to_owned(), "b".to_owned());
    assert_eq!(
        account.describe(words.0, words.1, 3, 4).await.unwrap(),
        "a b! 3 4"
    );
    assert_eq!(account.pid_and_len(7, 2).await, Ok((account.pid(), 5)));
}

#[tokio::test]
async fn an_error_is_an_answer() {
    let account = account(10).await;
    let refused = Refused::TooMuch { balance: 10 };
    assert_eq!(account.withdraw(10).await, Ok(Err(refused)));
    assert_eq!(account.withdraw(9).await, Ok(Ok(0)));
    assert!(account.server_ref().is_alive());
}

#[tokio::test]
async fn a_delayed_reply_lets_others_through() {
    let account = account(1).await;
    let waiting = tokio::spawn({
        let account = account.clone();
        async move { account.next_balance().await }
    });
    // The call stands in the mailbox before this one does, or after; both must work.
    while account.server_ref().mailbox_len() > 0 || !waiting.is_finished() {
        account.deposit(1);
        account.balance().await.unwrap();
    }
    assert!(waiting.await.unwrap().unwrap() > 1);
    assert_eq!(account.later(7).await, Ok(8));
}

#[tokio::test]
async fn a_reply_may_come_before_the_end() {
    let account = account(3).await;
    assert_eq!(account.close_with(ExitReason::Shutdown).await, Ok(3));
    assert_eq!(
        account.server_ref().wait_for_exit().await,
        ExitReason::Shutdown
    );
    assert_eq!(account.balance().await, Err(CallError::NoProc));
}

#[tokio::test]
async fn a_call_fails_as_by_hand() {
    let account = account(3).await;
    assert_eq!(account.forget().await, Err(CallError::NoReply));
    assert_eq!(
        account.ask_itself(account.clone()).await,
        Ok(Err(CallError::CallingSelf))
    );
    let crashed = account.crash().await;
    assert!(
        matches!(&crashed, Err(CallError::Exit(ExitReason::Panic { message, .. })) if &**message == "asked to"),
        "{crashed:?}"
    );
}

#[tokio::test]
async fn a_cast_may_end_the_server_and_comes_back_from_a_dead_one() {
    let account = account(3).await;
    account.close();
    assert_eq!(
        account.server_ref().wait_for_exit().await,
        ExitReason::Shutdown
    );
    account.deposit(1);
    match account.try_deposit(2) {
        Err(SendError::NoProc(AccountMessage::Deposit { amount })) => assert_eq!(amount, 2),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_as_long_as_it_says() {
    let account = account(3).await;
    let began = tokio::time::Instant::now();
    let seconds = || began.elapsed().as_secs();
    assert_eq!(account.next_balance().await, Err(CallError::Timeout));
    assert_eq!(seconds(), otp::DEFAULT_CALL_TIMEOUT.as_secs());
    let patient = account.within(Duration::from_secs(60));
    assert_eq!(patient, account, "the same server");
    assert_eq!(
        patient.clone().next_balance().await,
        Err(CallError::Timeout)
    );
    assert_eq!(seconds(), 65);
    let answer = tokio::spawn({
        let endless = patient.without_limit();
        async move { endless.next_balance().await }
    });
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    account.deposit(1);
    assert_eq!(answer.await.unwrap(), Ok(4));
}

#[tokio::test]
async fn messages_can_be_made_by_hand() {
    let account = account(3).await;
    let server = account.server_ref();
    server.cast(AccountMessage::Deposit { amount: 1 });
    let balance = server.call(|from| AccountMessage::Balance { from }).await;
    assert_eq!(balance, Ok(4));
    let sum = server.call(|from| AccountMessage::AnswerFor { from, plus: 3 });
    assert_eq!(sum.await, Ok(7));
    // The handle has another name beside a parameter called `from`.
    let words = server.call(|reply_to| AccountMessage::Describe {
        from: "a".into(),
        to: "b".into(),
        r#type: 1,
        ctx: 2,
        reply_to,
    });
    assert_eq!(words.await.unwrap(), "a b! 1 2");
}

#[tokio::test]
async fn a_message_says_what_it_is() {
    let message = AccountMessage::Deposit { amount: 1 };
    assert_eq!(message.name(), "deposit");
    assert_eq!(format!("{message:?}"), "AccountMessage::Deposit");
    assert_eq!(AccountMessage::Close.name(), "close");
}

#[tokio::test]
async fn a_client_is_a_reference() {
    let node = node();
    let options = Options::new().name("account");
    let account = Account::start(&node, 3, options).await.unwrap();
    let other = AccountClient::from(account.server_ref().clone());
    assert_eq!(other, account);
    assert_eq!(
        AccountClient::whereis(&node, "account"),
        Some(account.clone())
    );
    assert_eq!(
        AccountClient::from_pid(&node, account.pid()),
        Some(account.clone())
    );
    assert_eq!(AccountClient::whereis(&node, "nobody"), None);
    let probe = otp::testing::Probe::start(&node).await.unwrap();
    assert_eq!(
        AccountClient::from_pid(&node, probe.pid()),
        None,
        "another kind"
    );
    assert!(format!("{account:?}").starts_with("AccountClient("));
    let state = std::hash::RandomState::new();
    assert_eq!(state.hash_one(&other), state.hash_one(&account));
}
