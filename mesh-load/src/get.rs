//! One request, for where no other client is.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

/// GETs a URL over a connection of its own.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// `http://HOST[:PORT][/PATH]`.
    url: Uri,
    /// NAME:VALUE; may be given more than once.
    #[arg(long, value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Seconds to wait for the whole answer.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
}

/// Prints status, headers and body as a line of JSON, whatever the status is.
///
/// # Errors
/// When there is no whole answer in time.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let limit = Duration::from_secs(args.timeout);
    let answer = tokio::time::timeout(limit, ask(args)).await;
    println!("{}", answer.with_context(|| format!("{}: no answer in {limit:?}", args.url))??);
    Ok(())
}

async fn ask(args: &Args) -> Result<Value> {
    let url = &args.url;
    ensure!(url.scheme_str() == Some("http"), "{url}: expected http://HOST[:PORT][/PATH]");
    let authority = url.authority().with_context(|| format!("{url}: no host"))?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.with_context(|| format!("{url}: connecting"))?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).header(header::HOST, authority.as_str());
    for (name, value) in &args.header {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await;
    report(response.with_context(|| format!("{url}: no answer"))?).await
}

async fn report(response: Response<Incoming>) -> Result<Value> {
    let status = response.status().as_u16();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(text(value.as_bytes()))))
        .collect();
    let body = response.into_body().collect().await.context("the body was cut")?.to_bytes();
    Ok(json!({"status": status, "headers": headers, "body": text(&body)}))
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("expected NAME:VALUE")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
