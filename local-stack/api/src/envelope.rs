//! What a request, an answer and an event look like on either socket.

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<D> {
    /// Comes back in the answer.
    pub id: u64,
    /// What to do.
    pub r#do: D,
}

/// Answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response<A> {
    /// The request's id.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub result: Outcome<A>,
}

/// `ok` or `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<A> {
    /// Done.
    Ok(A),
    /// Not done.
    Error(ErrorBody),
}

impl<A> From<Result<A, ErrorBody>> for Outcome<A> {
    fn from(result: Result<A, ErrorBody>) -> Self {
        match result {
            Ok(answer) => Self::Ok(answer),
            Err(error) => Self::Error(error),
        }
    }
}

impl<A> From<Outcome<A>> for Result<A, ErrorBody> {
    fn from(outcome: Outcome<A>) -> Self {
        match outcome {
            Outcome::Ok(answer) => Ok(answer),
            Outcome::Error(error) => Err(error),
        }
    }
}

/// Sent to subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice<E> {
    /// What happened.
    pub event: E,
}

/// What a line from a daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Incoming<A, E> {
    /// An answer.
    Response(Response<A>),
    /// An event.
    Notice(Notice<E>),
}
