//! A load from its first request to its report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::book::{self, Book};
use crate::client::Kind;
use crate::histogram::Histogram;
use crate::pace::Goal;
use crate::scenario::{Protocol, Scenario};

/// What the clients may take to end well, longer than any of their waits.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// The name of the first phase.
const FIRST_PHASE: &str = "start";

/// Makes the load that a file says.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to do, in JSON.
    #[arg(required_unless_present = "text")]
    scenario: Option<PathBuf>,
    /// The same as text.
    #[arg(long, value_name = "JSON", conflicts_with = "scenario")]
    text: Option<String>,
    /// Take commands from standard input, a line each: `phase NAME`, under which the times
    /// from then on are counted, and `stop`. Its end is a stop too.
    #[arg(long)]
    control: bool,
}

/// Prints a line of JSON each second, and the report as the last one. SIGTERM is a stop.
///
/// # Errors
/// When the scenario cannot be read. Failed requests are in the report, and no error.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let scenario = match (&args.scenario, &args.text) {
        (Some(path), _) => Scenario::read(path)?,
        (None, text) => Scenario::parse(text.as_deref().unwrap_or_default())?,
    };
    let goal = Arc::new(Goal::new(scenario.requests));
    let phase = FIRST_PHASE.into();
    let mut books = Vec::new();
    let mut kinds = Vec::new();
    for clients in &scenario.clients {
        let total = match clients.protocol {
            // A connection alone is no request.
            Protocol::Connect => Arc::default(),
            _ => Arc::clone(&goal.done),
        };
        let book = Arc::new(Book::new(&clients.name, &phase, total));
        kinds.push(Kind::new(clients, scenario.tls.as_ref(), Arc::clone(&book), &goal)?);
        books.push(book);
    }
    let commands = args.control.then(|| BufReader::new(tokio::io::stdin()).lines());
    let mut orders = Orders { commands, term: signal(SignalKind::terminate())? };
    let start = Instant::now();
    let mut running = JoinSet::new();
    kinds.into_iter().for_each(|kind| kind.start(&mut running));
    attend(&scenario, &goal, &books, &mut running, &mut orders).await;
    let end = Instant::now();
    let unfinished = finish(&mut running).await;
    println!("{}", report(&goal, &books, [start, end], unfinished));
    Ok(())
}

/// Prints and obeys until the goal is reached.
async fn attend(
    scenario: &Scenario,
    goal: &Goal,
    books: &[Arc<Book>],
    running: &mut JoinSet<()>,
    orders: &mut Orders,
) {
    let start = Instant::now();
    let mut second = 0;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                second += 1;
                println!("{}", line(second, goal, books));
                if scenario.seconds.is_some_and(|limit| start.elapsed().as_secs() >= limit) {
                    goal.stop();
                }
            }
            order = orders.next() => obey(order.as_deref(), goal, books),
            // One that has seen that the goal is reached.
            _ = running.join_next() => {}
        }
        if goal.reached() {
            return;
        }
    }
}

/// What others want while the load runs.
struct Orders {
    commands: Option<Lines<BufReader<Stdin>>>,
    term: Signal,
}

impl Orders {
    /// The next command; `None` at SIGTERM and at the end of the input.
    async fn next(&mut self) -> Option<String> {
        let command = async {
            match &mut self.commands {
                Some(commands) => commands.next_line().await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = command => command,
            _ = self.term.recv() => None,
        }
    }
}

fn obey(command: Option<&str>, goal: &Goal, books: &[Arc<Book>]) {
    match command.map(|command| command.split_once(' ').unwrap_or((command, ""))) {
        None | Some(("stop", _)) => goal.stop(),
        Some(("phase", name)) => {
            let name = name.into();
            books.iter().for_each(|book| book.phase(&name));
        }
        Some((other, _)) => eprintln!("{other:?} is no command"),
    }
}

/// How many clients had to be given up.
async fn finish(running: &mut JoinSet<()>) -> usize {
    let all = async { while running.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(END_DEADLINE, all).await;
    running.len()
}

fn line(second: u64, goal: &Goal, books: &[Arc<Book>]) -> Value {
    let mut all = Histogram::default();
    let mut clients = serde_json::Map::new();
    for book in books {
        let times = book.take_second();
        clients.insert(book.name().to_owned(), times.report());
        all.merge(&times);
    }
    json!({
        "second": second,
        "requests": goal.done.load(Ordering::Relaxed),
        "failures": failures(books),
        "all": all.report(),
        "clients": clients,
    })
}

fn report(
    goal: &Goal,
    books: &[Arc<Book>],
    [start, end]: [Instant; 2],
    unfinished: usize,
) -> Value {
    let mut phases: BTreeMap<Arc<str>, Histogram> = BTreeMap::new();
    for (name, times) in books.iter().flat_map(|book| book.phases()) {
        phases.entry(name).or_default().merge(&times);
    }
    json!({"report": {
        "seconds": (end - start).as_secs_f64(),
        "requests": goal.done.load(Ordering::Relaxed),
        "failures": failures(books),
        "unfinished": unfinished,
        "phases": book::phases(&phases),
        "clients": books.iter().map(|book| book.report(end)).collect::<Vec<_>>(),
    }})
}

fn failures(books: &[Arc<Book>]) -> u64 {
    books.iter().map(|book| book.failures()).sum()
}
