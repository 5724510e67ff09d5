//! The environment of an application.

use std::sync::Arc;

use otp::{Application, ApplicationError, ConfigChange, StartType, Supervisor, eventually};

use super::*;
use crate::support::node;

crate::cases! {
    values_are_looked_up_with_defaults: "APP-006";
    what_is_set_before_loading_may_stay: "APP-007";
    a_change_reaches_the_running_application: "APP-012";
}

async fn values_are_looked_up_with_defaults() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let app = application("a", &log)
        .env("port", 4000_u16)
        .env("host", "localhost".to_owned());
    assert_eq!(apps.get_env::<u16>("a", "port"), None, "not loaded");
    apps.load(app).await.unwrap();
    assert_eq!(apps.get_env("a", "port"), Some(4000_u16));
    assert_eq!(apps.get_env("a", "host"), Some("localhost".to_owned()));
    // Another type, another key, another application.
    assert_eq!(apps.get_env::<u32>("a", "port"), None);
    assert_eq!(apps.get_env::<u16>("a", "nothing"), None);
    assert_eq!(apps.get_env::<u16>("b", "port"), None);
    assert_eq!(apps.get_env_or("a", "nothing", 7_u16), 7);
    assert_eq!(apps.get_env_or("a", "port", 7_u16), 4000);
    apps.set_env("a", "port", 5000_u16).unwrap();
    assert_eq!(apps.get_env("a", "port"), Some(5000_u16));
    // The application sees its own.
    let seen = log.clone();
    let reader = Application::new("reader", move |context| {
        let port = context.get_env::<u16>("port");
        seen.add(format!("{port:?}"));
        std::future::ready(Ok(Supervisor::one_for_one()))
    });
    apps.load(reader.env("port", 1_u16)).await.unwrap();
    apps.start("reader", StartType::Temporary).await.unwrap();
    assert_eq!(log.all(), ["Some(1)"]);
}

async fn what_is_set_before_loading_may_stay() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let app = || {
        application("a", &log)
            .env("port", 4000_u16)
            .env("size", 1_u16)
            .env("rest", 1_u16)
    };
    apps.override_env("a", "port", 9999_u16).unwrap();
    apps.set_env("a", "size", 2_u16).unwrap();
    let value = |key| apps.get_env::<u16>("a", key);
    for _ in 0..2 {
        apps.load(app()).await.unwrap();
        // The persistent value is there, the other one is the default of the application again.
        assert_eq!((value("port"), value("size")), (Some(9999), Some(1)));
        assert_eq!(value("rest"), Some(1));
        apps.set_env("a", "rest", 3_u16).unwrap();
        apps.unload("a").await.unwrap();
        assert_eq!(
            (value("port"), value("size"), value("rest")),
            (Some(9999), None, None)
        );
    }
    // There is a limit.
    for key in 0..otp::ENVIRONMENT_MAX {
        if apps.set_env("b", format!("key {key}"), key).is_err() {
            break;
        }
    }
    assert_eq!(apps.set_env("b", "more", 1), Err(ApplicationError::TooMany));
    apps.set_env("b", "key 1", 1).unwrap();
}

async fn a_change_reaches_the_running_application() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let changes = Arc::new(parking_lot::Mutex::new(
        Vec::<(ConfigChange, Option<u16>)>::new(),
    ));
    let seen = changes.clone();
    let app = application("a", &log).env("port", 1_u16).env("old", 1_u16);
    let app = app.config_change(move |context, change| {
        // The values are the new ones by then.
        seen.lock().push((change, context.get_env("port")));
        std::future::ready(())
    });
    apps.load(app).await.unwrap();
    let change = |key: &'static str, value: Option<u16>| {
        let value = value.map(|value| Arc::new(value) as otp::EnvironmentValue);
        vec![(Arc::from(key), value)]
    };
    // It does not run: nobody is told.
    apps.change_config("a", change("port", Some(2)))
        .await
        .unwrap();
    apps.start("a", StartType::Temporary).await.unwrap();
    let all = [
        change("port", Some(3)),
        change("fresh", Some(1)),
        change("old", None),
        change("nothing", None),
    ];
    apps.change_config("a", all.concat()).await.unwrap();
    eventually!(changes.lock().len() == 1);
    let expected = ConfigChange {
        changed: vec!["port".into()],
        new: vec!["fresh".into()],
        removed: vec!["old".into()],
    };
    assert_eq!(changes.lock()[0], (expected, Some(3)));
    assert_eq!(apps.get_env::<u16>("a", "old"), None);
}
