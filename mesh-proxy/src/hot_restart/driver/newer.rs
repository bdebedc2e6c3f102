//! Handing over to the newer process.

use std::time::Duration;

use tracing::{info, warn};

use super::{BUILD, Driver, Flow, from_now, lost};
use crate::admin;
use crate::config::Address;
use crate::hot_restart::channel::ChannelError;
use crate::hot_restart::frame::Received;
use crate::hot_restart::link::Link;
use crate::hot_restart::machine::{Action, Event, NewerSaid};
use crate::hot_restart::message::{
    Hello, Left, Message, Reason, Refused, VERSION, Wait, Welcome, Withdrawn,
};
use crate::hot_restart::sockets;
use crate::stats::Export;

impl Driver {
    pub(super) async fn newer_received(
        &mut self,
        received: Result<Received, ChannelError>,
    ) -> Event {
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                let is_dead = lost(self.newer.take(), &error).await;
                return Event::NewerLost { is_dead };
            }
        };
        Event::NewerSaid(match received.message {
            Message::Taken(_) => NewerSaid::Taken,
            Message::Ready(ready) => NewerSaid::Ready {
                claimed: ready.claimed(),
                takes_pages: ready.takes_pages,
                parent_shutdown: Duration::from_millis(ready.parent_shutdown_ms),
            },
            Message::Ending(_) => NewerSaid::Ending,
            other => {
                warn!("hot restart: the newer process says {}", other.name());
                NewerSaid::Nonsense
            }
        })
    }

    /// What concerns the newer process.
    pub(super) async fn perform_for_newer(&mut self, action: Action) -> Flow {
        match action {
            Action::Refuse(reason) => self.refuse(reason).await,
            Action::Admit => {
                self.newer = self.asking.take().map(|asking| {
                    let Hello { epoch, pid, build, .. } = &asking.hello;
                    info!(epoch, pid, build, "hot restart: a newer process asks");
                    Link::new(asking.channel, *pid)
                });
            }
            Action::SayWait(at_most) => {
                let at_most_ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
                self.say_newer(Message::Wait(Wait { at_most_ms })).await;
            }
            Action::SayWelcome => self.say_newer(self.welcome()).await,
            Action::SayWithdrawn => {
                warn!("hot restart: the newer process is not waited for any longer");
                self.say_newer(Message::Withdrawn(Withdrawn {})).await;
            }
            Action::SayRefused(reason) => self.say_newer(refused(reason)).await,
            Action::LoadSockets => return self.load_sockets(),
            Action::LoadCounts => {
                let changes = self.export.changes(&self.registry);
                self.outbox.extend(sockets::tell(changes));
            }
            Action::LoadLeft => self.outbox.push_back((Message::Left(Left {}), Vec::new())),
            Action::SendNext => return self.send_next().await,
            Action::TimeNewer(time) => self.newer_deadline = time.and_then(from_now),
            Action::ForgetNewer => {
                self.newer = None;
                self.outbox.clear();
            }
            Action::HandOver(claimed) => self.hand_over(&claimed),
            Action::StopPages => {
                if let Some(pages) = self.proxy.as_mut().and_then(|proxy| proxy.pages.as_mut()) {
                    pages.stop().await;
                }
                return Flow::Then(Event::PagesStopped);
            }
            Action::Discourage => self.discourage(),
            Action::SetDeadline(time) => {
                self.cut_at = [self.cut_at, from_now(time)].into_iter().flatten().min();
            }
            Action::Resume => self.resume(),
            Action::Cut => {
                warn!("hot restart: the time is over: ending the connections that are left");
                if let Some(proxy) = &self.proxy {
                    proxy.data_plane.cut();
                }
            }
            // The others are done above.
            _ => {}
        }
        Flow::On
    }

    fn load_sockets(&mut self) -> Flow {
        self.export = Export::default();
        self.outbox.clear();
        let Some(proxy) = &self.proxy else { return Flow::On };
        let pages = proxy.pages.as_ref().map(admin::Server::socket).transpose();
        match proxy.data_plane.sockets().and_then(|sockets| Ok((sockets, pages?))) {
            Ok((sockets, pages)) => {
                self.outbox.extend(sockets::give(sockets, pages));
                Flow::On
            }
            Err(error) => {
                warn!("hot restart: cannot hand the sockets over: {error}");
                Flow::Then(Event::NewerSilent)
            }
        }
    }

    async fn send_next(&mut self) -> Flow {
        match self.outbox.pop_front() {
            Some((message, descriptors)) => {
                if let Some(newer) = &self.newer {
                    newer.send(&message, &descriptors).await;
                }
                Flow::On
            }
            None => Flow::Then(Event::AllSent),
        }
    }

    fn hand_over(&mut self, claimed: &[Address]) {
        info!("hot restart: the newer process accepts; handing over");
        if let Some(proxy) = &self.proxy {
            proxy.data_plane.hand_over(claimed);
        }
    }

    fn discourage(&mut self) {
        let drain_time = self.options.drain_time;
        let over = if self.options.is_immediate { Duration::ZERO } else { drain_time };
        info!("hot restart: handed over; draining over {over:?}");
        if let Some(proxy) = &self.proxy {
            proxy.status.set_draining(true);
            proxy.data_plane.discourage(over);
        }
    }

    fn resume(&mut self) {
        warn!("hot restart: the newer process is gone; serving again");
        self.cut_at = None;
        if let Some(proxy) = &self.proxy {
            proxy.data_plane.open();
            proxy.status.set_draining(false);
        }
        self.serve_pages();
    }

    async fn refuse(&mut self, reason: Reason) {
        let Some(asking) = self.asking.take() else { return };
        let Hello { epoch, pid, version, build } = &asking.hello;
        info!(epoch, pid, version, build, "hot restart: refused a newer process: {reason:?}");
        Link::new(asking.channel, *pid).send(&refused(reason), &[]).await;
    }

    fn welcome(&self) -> Message {
        Message::Welcome(Welcome {
            epoch: self.options.epoch,
            pid: std::process::id(),
            generation: self.generation,
            uptime_s: (self.earlier_uptime + self.started.elapsed()).as_secs(),
        })
    }

    async fn say_newer(&self, message: Message) {
        if let Some(newer) = &self.newer {
            newer.send(&message, &[]).await;
        }
    }
}

fn refused(reason: Reason) -> Message {
    let (reason, build) = (reason.into(), BUILD.to_owned());
    Message::Refused(Refused { reason, version: VERSION, build })
}
