//! Taking over from the older process.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tracing::{info, warn};

use super::{BUILD, Driver, Flow, Stop, from_now, lost};
use crate::admin;
use crate::hot_restart::channel::{Channel, ChannelError};
use crate::hot_restart::frame::Received;
use crate::hot_restart::link::Link;
use crate::hot_restart::machine::{Action, Event, Failure, OlderSaid};
use crate::hot_restart::message::{Count, Ending, Hello, Message, Ready, Taken, VERSION, Welcome};
use crate::hot_restart::place::Live;

impl Driver {
    pub(super) async fn older_received(
        &mut self,
        received: Result<Received, ChannelError>,
    ) -> Event {
        match received {
            Ok(received) => {
                let said = self.older_says(&received.message);
                self.received = Some(received);
                Event::OlderSaid(said)
            }
            Err(error) => {
                let is_dead = lost(self.older.take(), &error).await;
                Event::OlderLost { is_dead }
            }
        }
    }

    fn older_says(&mut self, message: &Message) -> OlderSaid {
        match message {
            Message::Wait(wait) => {
                let at_most = Duration::from_millis(wait.at_most_ms);
                info!("hot restart: another process has to leave first, in {at_most:?} at most");
                OlderSaid::Wait(at_most)
            }
            Message::Refused(refused) => {
                warn!(theirs = refused.build, "hot restart: refused: {:?}", refused.reason());
                OlderSaid::Refused { reason: refused.reason(), version: refused.version }
            }
            Message::Welcome(welcome) => {
                let Welcome { epoch, pid, generation, uptime_s } = *welcome;
                info!(epoch, pid, "hot restart: taking over");
                self.generation = generation.saturating_add(1);
                self.earlier_uptime = Duration::from_secs(uptime_s);
                if let Some(older) = &mut self.older {
                    older.identify(pid);
                }
                OlderSaid::Welcome
            }
            Message::Sockets(_) => OlderSaid::Sockets,
            Message::Counts(counts) => OlderSaid::Counts { is_last: counts.is_last },
            Message::Withdrawn(_) => OlderSaid::Withdrawn,
            Message::Left(_) => {
                info!("hot restart: the older process has left");
                OlderSaid::Left
            }
            Message::Hello(_) | Message::Taken(_) | Message::Ready(_) | Message::Ending(_) => {
                warn!("hot restart: the older process says {}", message.name());
                OlderSaid::Nonsense
            }
        }
    }

    /// What concerns the older process.
    pub(super) async fn perform_for_older(&mut self, action: Action) -> Flow {
        match action {
            Action::FindOlder => return self.find_older(),
            Action::SayHello => self.say_older(self.hello()).await,
            Action::KeepSockets => self.keep_sockets(),
            Action::AddCounts => self.add_counts(),
            Action::SayTaken => self.say_older(Message::Taken(Taken {})).await,
            Action::SayReady => self.say_older(self.ready()).await,
            Action::SayEnding => self.say_older(Message::Ending(Ending {})).await,
            Action::TimeOlder(time) => self.older_deadline = time.and_then(from_now),
            Action::ForgetOlder => {
                self.older = None;
                self.registry.forget_older();
            }
            Action::Open => self.open(),
            other => return self.perform_for_newer(other).await,
        }
        Flow::On
    }

    fn find_older(&mut self) -> Flow {
        let Some(place) = &self.options.place else { return Flow::Then(Event::NoOlder) };
        match place.older(self.options.epoch) {
            Ok(older) => Flow::Then(self.found(older)),
            Err(error) => {
                warn!("{error}");
                Flow::Stop(Stop::Fail(Failure::Silent))
            }
        }
    }

    pub(super) fn found(&mut self, older: Option<Live>) -> Event {
        let link = older.map(|Live { io, pid, .. }| {
            let io = UnixStream::from_std(io)?;
            Ok(Link::new(Channel::new(io), pid.unsigned_abs()))
        });
        match link.transpose() {
            Ok(Some(link)) => {
                self.older = Some(link);
                Event::OlderFound
            }
            Ok(None) => {
                if self.options.epoch > 0 && self.options.place.is_some() {
                    warn!("hot restart: no process to take over from; starting as the first one");
                }
                self.generation = 1;
                Event::NoOlder
            }
            Err(error) => {
                let error: io::Error = error;
                warn!("hot restart: {error}");
                Event::NoOlder
            }
        }
    }

    fn keep_sockets(&mut self) {
        if let Some(Received { message: Message::Sockets(sockets), descriptors }) =
            self.received.take()
        {
            self.gifts.keep(sockets, descriptors);
        }
    }

    fn add_counts(&mut self) {
        if let Some(Received { message: Message::Counts(counts), .. }) = self.received.take() {
            self.registry.import_all(counts.counts.into_iter().filter_map(Count::read));
        }
    }

    fn open(&mut self) {
        if let Some(proxy) = &self.proxy {
            self.claimed = proxy.data_plane.open();
            proxy.status.set_serving();
            info!(listeners = self.claimed.len(), "hot restart: accepting");
        }
    }

    fn hello(&self) -> Message {
        let (pid, build) = (std::process::id(), BUILD.to_owned());
        Message::Hello(Hello { version: VERSION, epoch: self.options.epoch, pid, build })
    }

    fn ready(&self) -> Message {
        let pages = self.proxy.as_ref().and_then(|proxy| proxy.pages.as_ref());
        let takes_pages = pages.is_some_and(admin::Server::is_inherited);
        let time = self.options.parent_shutdown;
        Message::Ready(Ready::new(&self.claimed, takes_pages, time))
    }

    async fn say_older(&self, message: Message) {
        if let Some(older) = &self.older {
            older.send(&message, &[]).await;
        }
    }
}
