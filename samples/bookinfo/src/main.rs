//! The bookinfo sample application: four small HTTP services in one binary.
//!
//! productpage asks details and reviews; reviews, in its versions v2 and v3, asks ratings.
//! Ports, paths, JSON fields and forwarded headers are those of the well-known sample, so
//! that rules and tutorials written for it work here.

mod client;
mod details;
mod headers;
mod page;
mod productpage;
mod ratings;
mod reviews;
mod server;

use std::io::IsTerminal;
use std::net::IpAddr;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::client::Backend;
use crate::reviews::Version;

/// The bookinfo sample application.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to serve on.
    #[arg(long, default_value_t = 9080, global = true)]
    port: u16,
    /// The address to serve on.
    #[arg(long, default_value = "0.0.0.0", global = true)]
    listen: IpAddr,
    #[command(subcommand)]
    service: Service,
}

#[derive(Subcommand)]
enum Service {
    /// The page that a user sees, and its API.
    Productpage,
    /// Facts about a book.
    Details,
    /// What readers say about a book.
    Reviews {
        /// v1 shows no stars, v2 black ones, v3 red ones.
        #[arg(long, value_enum)]
        version: Version,
    },
    /// Stars for a book.
    Ratings,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(colour)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let router = match args.service {
        Service::Productpage => productpage::router(productpage::App {
            details: Backend::from_env("details")?,
            reviews: Backend::from_env("reviews")?,
            ratings: Backend::from_env("ratings")?,
        }),
        Service::Details => details::router(),
        Service::Reviews { version } => {
            reviews::router(reviews::App::new(version, Backend::from_env("ratings")?))
        }
        Service::Ratings => ratings::router(),
    };
    server::serve((args.listen, args.port).into(), router)
        .await
        .with_context(|| format!("serving on {}:{}", args.listen, args.port))
}
