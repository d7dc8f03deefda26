//! `GET /v1/rules/what-if`: how many alerts rules would have opened in the last day with other thresholds; of one rule with
//! `?rule=NAME`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::body::unreadable;
use super::problem::Problem;
use super::routes::{self, Shared};

/// Answers the question.
pub async fn answer(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    report(&shared, parameters).unwrap_or_else(IntoResponse::into_response)
}

fn report(
    shared: &Shared,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| unreadable(rejection.body_text()))?;
    let rule = match parameters.as_slice() {
        [] => None,
        [(name, rule)] if name == "rule" => Some(rule.as_str()),
        _ => return Err(unreadable("expected no parameter but rule, once")),
    };
    let report = shared.reports.what_if(rule);
    if let Some(rule) = rule.filter(|_| report.rules.is_empty() && report.at.is_some()) {
        let detail = format!(
            "no rule '{rule}' counts against a threshold of 2 or more; without ?rule= all are listed that do"
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    // It is made of numbers and names.
    let text = serde_json::to_string(&report).unwrap_or_default();
    Ok(routes::json(text))
}
