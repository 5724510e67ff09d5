//! Twins of `sc_app.erl`: order of start and stop, dependencies, callbacks, ends of the top
//! supervisor.

use otp::sys;
use otp::{
    Application, ApplicationError, ApplicationStatus, Applications, ExitReason, Pid, StartType,
    Supervisor, SupervisorServer, eventually,
};

use super::actor::oops;
use super::family::{PERIOD, child};
use super::stage::Stage;
use super::trace::{Word, boom, say};
use super::{Scenario, Told, scenario};

mod singles;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    let ends = [
        ("transient_normal", StartType::Transient, ExitReason::Normal),
        ("temporary_normal", StartType::Temporary, ExitReason::Normal),
        (
            "temporary_shutdown",
            StartType::Temporary,
            ExitReason::Shutdown,
        ),
        ("temporary_killed", StartType::Temporary, ExitReason::Kill),
        ("temporary_custom", StartType::Temporary, boom()),
    ];
    for (name, start_type, reason) in ends {
        list.push(scenario(
            format!("the_top_supervisor_ends_{name}"),
            move |stage| top_ends(stage, start_type, reason.clone()),
        ));
    }
    for (name, failure) in [
        ("error", Failure::Error),
        ("crash", Failure::Crash),
        // Erlang's exit/1 in the callback.
        ("exit", Failure::Error),
    ] {
        list.push(scenario(format!("start_fails_{name}"), move |stage| {
            start_fails(stage, failure)
        }));
    }
    for (name, story) in singles::STORIES {
        list.push(scenario(*name, move |stage| async move {
            story(&mut Play::begin(stage).await).await;
        }));
    }
    list
}

type Story = (&'static str, Told<Play>);

/// How the start of an application fails.
#[derive(Clone, Copy)]
enum Failure {
    Error,
    Crash,
}

/// An application of one supervisor; what it needs, and the ids of its children.
#[derive(Clone, Copy, Default)]
struct Plan {
    needs: &'static [&'static str],
    children: &'static [&'static str],
    phases: &'static [&'static str],
    failure: Option<Failure>,
}

impl Plan {
    fn needs(needs: &'static [&'static str]) -> Plan {
        Plan {
            needs,
            ..Plan::default()
        }
    }

    fn children(children: &'static [&'static str]) -> Plan {
        Plan {
            children,
            ..Plan::default()
        }
    }

    /// The application, which tells of its callbacks.
    fn describe(self, stage: &Stage, name: &'static str) -> Application {
        let (started, phased) = (stage.trace.clone(), stage.trace.clone());
        let (stopping, stopped) = (stage.trace.clone(), stage.trace.clone());
        let children = self.children.iter().map(|id| child(stage, id));
        // What a supervisor in Erlang allows by default.
        let supervisor = Supervisor::one_for_one().intensity(1, PERIOD);
        let supervisor = supervisor.children(children);
        let mut application = Application::new(name, move |_| {
            say!(started, "start", name);
            let supervisor = supervisor.clone();
            async move {
                match self.failure {
                    Some(Failure::Error) => Err(boom()),
                    Some(Failure::Crash) => oops(),
                    None => Ok(supervisor),
                }
            }
        });
        for need in self.needs {
            application = application.depends_on(*need);
        }
        application
            .start_phases(self.phases.iter().copied(), move |_, phase| {
                say!(phased, "phase", &*phase);
                std::future::ready(Ok(()))
            })
            .prep_stop(move |_| {
                say!(stopping, "prep_stop", name);
                std::future::ready(())
            })
            .stop(move |_| {
                say!(stopped, "stopped", name);
                std::future::ready(())
            })
    }
}

struct Play {
    stage: Stage,
    applications: Applications,
}

impl Play {
    async fn begin(stage: Stage) -> Play {
        let applications = Applications::of(&stage.node).await.unwrap();
        Play {
            stage,
            applications,
        }
    }

    async fn load(&self, name: &'static str, plan: Plan) {
        let application = plan.describe(&self.stage, name);
        self.applications.load(application).await.unwrap();
    }

    fn tell(&self, words: &[&'static str], outcome: Result<(), ApplicationError>) {
        let mut line: Vec<Word> = words.iter().map(|word| Word::from(*word)).collect();
        match outcome {
            Ok(()) => line.push(Word::from("ok")),
            Err(ApplicationError::AlreadyStarted(name)) => {
                line.push(Word::from(format!("error already_started {name}")));
            }
            Err(ApplicationError::NotStarted(name)) => {
                line.push(Word::from(format!("error not_started {name}")));
            }
            Err(_) => line.push(Word::from("error")),
        }
        self.stage.trace.line(line);
    }

    async fn ensure_started(&self, name: &'static str) {
        let outcome = self.applications.ensure_started(name, StartType::Temporary);
        self.tell(&["ensure_started", name], outcome.await);
    }

    async fn start(&self, name: &'static str) {
        let outcome = self.applications.start(name, StartType::Temporary);
        self.tell(&["start"], outcome.await);
    }

    async fn stop(&self, name: &'static str) {
        let outcome = self.applications.stop(name).await;
        self.tell(&["stop", name], outcome);
    }

    /// Starts it with all it needs, and says what was started.
    async fn all(&self, name: &'static str) {
        let names = [name];
        let started = self
            .applications
            .ensure_all_started(&names, StartType::Temporary);
        let mut line = vec![Word::from("ensure_all_started"), Word::from(name)];
        match started.await {
            Ok(started) => {
                line.push(Word::from("ok"));
                line.extend(started.iter().map(|name| Word::from(&**name)));
            }
            Err(ApplicationError::Failed(name, _)) => {
                line.push(Word::from(format!("error {name}")));
            }
            Err(error) => line.push(Word::from(error.to_string())),
        }
        self.stage.trace.line(line);
    }

    /// Says which applications run.
    async fn running(&self) {
        let all = self.applications.which().await.unwrap();
        let mut names: Vec<_> = all
            .into_iter()
            .filter(|info| info.status == ApplicationStatus::Running)
            .map(|info| info.name)
            .collect();
        names.sort();
        let words = names.iter().map(|name| Word::from(&**name));
        let line = [Word::from("running")].into_iter().chain(words);
        self.stage.trace.line(line.collect());
    }

    /// The top supervisor of an application.
    fn top(&self, name: &str) -> Pid {
        let label = format!("supervisor of {name}");
        let processes = self.stage.node.processes().into_iter();
        let mut found = processes.filter(|info| info.label.as_deref() == Some(&label));
        found.next().unwrap().pid
    }

    /// Waits until an application does not run any more, and has said so.
    async fn ended(&self, name: &str) {
        self.stage.trace.wait("stopped", 1).await;
        eventually!(self.applications.is_running(name).await == Ok(false));
    }
}

async fn top_ends(stage: Stage, start_type: StartType, reason: ExitReason) {
    let mut play = Play::begin(stage).await;
    play.load("a", Plan::default()).await;
    let started = play.applications.ensure_all_started(&["a"], start_type);
    started.await.unwrap();
    let top = play.top("a");
    say!(play.stage.trace, "end", "a");
    if reason == ExitReason::Kill {
        play.stage.driver.exit(top, reason).await;
    } else {
        let server = play.stage.node.server_ref::<SupervisorServer>(top);
        sys::terminate(&server.unwrap(), reason).await.unwrap();
    }
    play.ended("a").await;
    play.running().await;
    play.stage.nothing().await;
}

async fn start_fails(stage: Stage, failure: Failure) {
    let mut play = Play::begin(stage).await;
    let plan = Plan {
        failure: Some(failure),
        ..Plan::default()
    };
    play.load("a", plan).await;
    play.ensure_started("a").await;
    play.running().await;
    play.stage.nothing().await;
}
