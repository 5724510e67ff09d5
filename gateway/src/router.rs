//! The table of paths.
//!
//! ```text
//! any path ─ normal form ─▶ /                      page for people, or the WebSocket gateway
//!                           /api/v10/…             Discord's HTTP API   (v9 and none: the same)
//!                           /attachments/…         files of messages
//!                           /metrics /healthz /readyz
//! ```

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tower::Layer as _;
use tower::util::MapRequestLayer;

use crate::context::Context;
use crate::edge::{self, Unmatched};
use crate::error::ApiError;
use crate::normal_path::{API, Normal, normalise, with_path};
use crate::{page, routes, socket};

/// Everything this crate serves, over `context`. Requests should carry an [`crate::server::Peer`],
/// as those of [`crate::server::serve`] do; without one the address limits see one address.
pub fn router(context: Context) -> Router {
    let matched = Router::new()
        .route("/", get(root))
        .merge(routes::files::routes())
        .merge(routes::health::routes())
        .nest(API, routes::api())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(context.clone(), edge::serve))
        .with_state(context);
    // Around the router, not inside: a layer of a router only sees requests that are matched.
    Router::new().fallback_service(MapRequestLayer::new(in_normal_form).layer(matched))
}

/// Puts a request's path in normal form before it is matched.
fn in_normal_form(mut request: Request) -> Request {
    let unmatched = match normalise(request.uri().path()) {
        Normal::Path(path) => match with_path(request.uri(), path) {
            Some(uri) => {
                *request.uri_mut() = uri;
                None
            }
            None => Some(Unmatched::NotText),
        },
        Normal::UnknownVersion => Some(Unmatched::Version),
        Normal::NotText => Some(Unmatched::NotText),
    };
    if let Some(why) = unmatched {
        request.extensions_mut().insert(why);
    }
    request
}

/// `/`: a WebSocket handshake, or the page.
async fn root(State(context): State<Context>, headers: HeaderMap, request: Request) -> Response {
    let says = |name, what: &str| {
        let values = headers
            .get_all(name)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().to_ascii_lowercase().starts_with(what))
    };
    if says(header::UPGRADE, "websocket") {
        return socket::upgrade(State(context), request).await;
    }
    if says(header::ACCEPT, "text/html") {
        return page::response();
    }
    let mut response = ApiError::plain(StatusCode::UPGRADE_REQUIRED).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::UPGRADE,
        axum::http::HeaderValue::from_static("websocket"),
    );
    headers.insert(
        header::CONNECTION,
        axum::http::HeaderValue::from_static("Upgrade"),
    );
    response
}

async fn not_found() -> ApiError {
    ApiError::plain(StatusCode::NOT_FOUND)
}

async fn method_not_allowed() -> ApiError {
    ApiError::plain(StatusCode::METHOD_NOT_ALLOWED)
}
