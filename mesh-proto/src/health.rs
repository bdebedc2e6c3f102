//! `grpc.health.v1` (the gRPC health checking protocol): one question, one answer, each as it
//! stands in a stream of gRPC.

use std::fmt;

use prost::Message;

/// The method that is asked.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Of a message in a stream: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `ServingStatus`; with the number of one that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is said.
    Unknown,
    /// The one that is good.
    Serving,
    /// It does not take calls.
    NotServing,
    /// There is no service of this name.
    ServiceUnknown,
    /// One that a later version brings.
    Other(i32),
}

/// Why a body is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Nothing, or part of a message.
    #[error("the answer has no message")]
    Missing,
    /// Nobody asked for that.
    #[error("the answer is compressed, though nobody asked for it")]
    Compressed,
    /// Another message, or several.
    #[error("not a HealthCheckResponse")]
    Malformed,
}

/// The question whether this service serves; empty asks for the server as a whole.
pub fn question(service: &str) -> Vec<u8> {
    let message = Request { service: service.to_owned() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or_default();
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

/// What a body answers.
pub fn answer(body: &[u8]) -> Result<Status, AnswerError> {
    let (prefix, message) = body.split_first_chunk::<PREFIX>().ok_or(AnswerError::Missing)?;
    let [is_compressed, length @ ..] = *prefix;
    if is_compressed != 0 {
        return Err(AnswerError::Compressed);
    }
    let length = u32::from_be_bytes(length) as usize;
    if message.len() < length {
        return Err(AnswerError::Missing);
    }
    let one = Some(message).filter(|message| message.len() == length);
    let response = one.and_then(|message| Response::decode(message).ok());
    Ok(match response.ok_or(AnswerError::Malformed)?.status {
        0 => Status::Unknown,
        1 => Status::Serving,
        2 => Status::NotServing,
        3 => Status::ServiceUnknown,
        other => Status::Other(other),
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "UNKNOWN (0)",
            Self::Serving => "SERVING (1)",
            Self::NotServing => "NOT_SERVING (2)",
            Self::ServiceUnknown => "SERVICE_UNKNOWN (3)",
            Self::Other(number) => return write!(f, "a number that is not known ({number})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_framed() {
        assert_eq!(question(""), [0; 5]);
        assert_eq!(question("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn one_message_is_an_answer() {
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Ok(Status::Serving));
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 2]), Ok(Status::NotServing));
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 9]), Ok(Status::Other(9)));
        assert_eq!(answer(&[0; 5]), Ok(Status::Unknown), "the default");
        assert_eq!(answer(&[]), Err(AnswerError::Missing));
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8]), Err(AnswerError::Missing));
        assert_eq!(answer(&[1, 0, 0, 0, 2, 8, 1]), Err(AnswerError::Compressed));
        assert_eq!(answer(&[0, 0, 0, 0, 1, 8]), Err(AnswerError::Malformed));
        assert_eq!(answer(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(AnswerError::Malformed));
    }
}
