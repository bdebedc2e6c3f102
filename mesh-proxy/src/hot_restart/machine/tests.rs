//! Every transition of both sides.

use super::*;

const DRAIN: Duration = Duration::from_secs(45);
const SHUTDOWN: Duration = Duration::from_secs(900);
const EPOCH: u32 = 4;

fn machine() -> Machine {
    Machine::new(EPOCH, DRAIN, SHUTDOWN)
}

fn hello(epoch: u32) -> Hello {
    Hello { version: VERSION, epoch, pid: 7, build: String::new() }
}

fn claimed() -> Vec<Address> {
    vec!["127.0.0.1:80".parse().unwrap()]
}

fn ready() -> Event {
    ready_with(true)
}

fn ready_with(takes_pages: bool) -> Event {
    let (claimed, parent_shutdown) = (claimed(), SHUTDOWN);
    Event::NewerSaid(NewerSaid::Ready { claimed, takes_pages, parent_shutdown })
}

const TAKEN: Event = Event::NewerSaid(NewerSaid::Taken);
const ENDING: Event = Event::NewerSaid(NewerSaid::Ending);
const NEWER_DIES: Event = Event::NewerLost { is_dead: true };
const NEWER_CLOSES: Event = Event::NewerLost { is_dead: false };
const OLDER_DIES: Event = Event::OlderLost { is_dead: true };
const OLDER_CLOSES: Event = Event::OlderLost { is_dead: false };
const SOCKETS: Event = Event::OlderSaid(OlderSaid::Sockets);
const COUNTS: Event = Event::OlderSaid(OlderSaid::Counts { is_last: false });
const LAST_COUNTS: Event = Event::OlderSaid(OlderSaid::Counts { is_last: true });
const WITHDRAWN: Event = Event::OlderSaid(OlderSaid::Withdrawn);

const SHORTLY: Option<Duration> = Some(SILENCE);

/// Steps through all of these, and gives what the last one asks for.
fn last(machine: &mut Machine, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
    events.into_iter().map(|event| machine.step(event)).last().unwrap()
}

/// The states of the newer process, each with a machine in it.
fn as_newer() -> Vec<(Older, Machine)> {
    let way = [
        Event::OlderFound,
        Event::OlderSaid(OlderSaid::Welcome),
        SOCKETS,
        LAST_COUNTS,
        Event::Warm,
        LAST_COUNTS,
    ];
    let states = (1..=way.len()).map(|length| {
        let mut machine = machine();
        last(&mut machine, way[..length].iter().cloned());
        (machine.older, machine)
    });
    states.collect()
}

/// The states of the older process.
fn as_older() -> Vec<(Newer, Machine)> {
    let way = [
        Event::Asked(hello(5)),
        Event::AllSent,
        Event::AllSent,
        ready(),
        Event::PagesStopped,
        Event::AllSent,
        Event::Empty,
    ];
    let states = (1..=way.len()).map(|length| {
        let mut machine = machine();
        last(&mut machine, way[..length].iter().cloned());
        (machine.newer, machine)
    });
    states.collect()
}

#[test]
fn the_first_process_starts_alone() {
    let mut machine = machine();
    assert_eq!(machine.step(Event::NoOlder), [Action::TimeOlder(None), Action::StartAlone]);
    assert_eq!((machine.older, machine.own), (Older::None, Own::Serving));
}

#[test]
fn the_newer_process_takes_over_step_by_step() {
    let mut machine = machine();
    let time = Action::TimeOlder(SHORTLY);
    assert_eq!(machine.step(Event::OlderFound), [Action::SayHello, time.clone()]);
    assert_eq!(machine.own, Own::Starting);
    let waited = Event::OlderSaid(OlderSaid::Wait(DRAIN));
    assert_eq!(machine.step(waited), [Action::TimeOlder(Some(DRAIN + SILENCE))]);
    let welcome = Event::OlderSaid(OlderSaid::Welcome);
    assert_eq!(machine.step(welcome), [Action::SayTaken, time.clone()]);
    for _ in 0..2 {
        let kept = [Action::KeepSockets, Action::SayTaken, time.clone()];
        assert_eq!(machine.step(SOCKETS), kept);
    }
    assert_eq!(machine.older, Older::Receiving { has_sockets: true });
    let added = [Action::AddCounts, Action::SayTaken, time.clone()];
    assert_eq!(machine.step(COUNTS), added);
    let start = [Action::AddCounts, Action::SayTaken, Action::TimeOlder(Some(WARM)), Action::Start];
    assert_eq!(machine.step(LAST_COUNTS), start);
    assert_eq!((machine.older, machine.own), (Older::Warming, Own::Starting));
    assert_eq!(machine.step(Event::Warm), [Action::Open, Action::SayReady, time.clone()]);
    assert_eq!(machine.step(COUNTS), added);
    let commit = [
        Action::AddCounts,
        Action::ServePages,
        Action::SayTaken,
        Action::TimeOlder(Some(SHUTDOWN + MARGIN)),
    ];
    assert_eq!(machine.step(LAST_COUNTS), commit);
    assert_eq!((machine.older, machine.own), (Older::Draining, Own::Serving));
    assert_eq!(machine.step(LAST_COUNTS), [Action::AddCounts, Action::SayTaken]);
    let left = [Action::SayTaken, Action::TimeOlder(None), Action::ForgetOlder];
    assert_eq!(machine.step(Event::OlderSaid(OlderSaid::Left)), left);
    assert_eq!(machine.older, Older::None);
    // Whatever comes late is nothing.
    assert_eq!(machine.step(OLDER_DIES), []);
    assert_eq!(machine.step(Event::OlderSilent), []);
    assert_eq!(machine.step(Event::Warm), []);
}

#[test]
fn the_older_process_hands_over_step_by_step() {
    let mut machine = machine();
    let time = Action::TimeNewer(SHORTLY);
    let send = [Action::SendNext, time.clone()];
    let welcome = [Action::Admit, Action::LoadSockets, Action::SayWelcome, time.clone()];
    assert_eq!(machine.step(Event::Asked(hello(5))), welcome);
    assert_eq!(machine.step(TAKEN), send);
    let counts = [Action::LoadCounts, Action::SendNext, time.clone()];
    assert_eq!(machine.step(Event::AllSent), counts);
    assert_eq!(machine.step(TAKEN), send);
    assert_eq!(machine.step(Event::AllSent), [Action::TimeNewer(Some(PATIENCE))]);
    assert_eq!(machine.newer, Newer::Warming);
    let pause = [Action::TimeNewer(None), Action::HandOver(claimed()), Action::StopPages];
    assert_eq!(machine.step(ready()), pause);
    assert_eq!(machine.step(Event::PagesStopped), counts);
    assert_eq!(machine.step(TAKEN), send);
    let drain = [Action::TimeNewer(None), Action::Discourage, Action::SetDeadline(SHUTDOWN)];
    assert_eq!(machine.step(Event::AllSent), drain);
    assert_eq!(machine.newer, Newer::Draining { is_telling: false, is_empty: false });
    assert_eq!(machine.step(Event::Tick), [Action::LoadCounts, Action::SendNext]);
    // One at a time.
    assert_eq!(machine.step(Event::Tick), []);
    assert_eq!(machine.step(TAKEN), [Action::SendNext]);
    assert_eq!(machine.step(Event::AllSent), []);
    assert_eq!(machine.step(Event::Deadline), [Action::Cut]);
    let leave = [Action::LoadCounts, Action::LoadLeft, Action::SendNext, time];
    assert_eq!(machine.step(Event::Empty), leave);
    assert_eq!(machine.step(TAKEN), send);
    assert_eq!(machine.step(Event::AllSent), [Action::Exit]);
}

#[test]
fn pages_at_another_address_go_on() {
    let mut machine = as_older().remove(2).1;
    let actions = machine.step(ready_with(false));
    assert_eq!(actions[..2], [Action::TimeNewer(None), Action::HandOver(claimed())]);
    assert_eq!(actions[2..4], [Action::LoadCounts, Action::SendNext]);
    assert_eq!(machine.newer, Newer::Committing { parent_shutdown: SHUTDOWN });
}

#[test]
fn the_last_counts_wait_for_the_answer_to_those_before() {
    let mut machine = as_older().remove(5).1;
    machine.step(Event::Tick);
    assert_eq!(machine.step(Event::Empty), [Action::TimeNewer(SHORTLY)]);
    assert_eq!(machine.step(TAKEN), [Action::SendNext]);
    let leave = machine.step(Event::AllSent);
    assert_eq!(leave[..2], [Action::LoadCounts, Action::LoadLeft]);
    assert_eq!(machine.newer, Newer::Leaving);
}

#[test]
fn the_older_process_goes_on_when_the_newer_dies() {
    for (state, mut machine) in as_older() {
        let mut expected = vec![Action::TimeNewer(None), Action::ForgetNewer];
        if !matches!(state, Newer::TakingSockets | Newer::TakingCounts | Newer::Warming) {
            expected.push(Action::Resume);
        }
        assert_eq!(machine.step(NEWER_DIES), expected, "{state:?}");
        assert_eq!((machine.newer, machine.own), (Newer::None, Own::Serving), "{state:?}");
        // And can be asked again, by the same epoch or another.
        for epoch in [5, 6] {
            assert_eq!(machine.step(Event::Asked(hello(epoch)))[0], Action::Admit, "{state:?}");
            machine.step(NEWER_DIES);
        }
    }
}

#[test]
fn a_newer_process_that_lives_without_a_word_is_the_proxy_once_it_accepts() {
    for (state, mut machine) in as_older() {
        let actions = machine.step(NEWER_CLOSES);
        let released = [Action::TimeNewer(None), Action::ForgetNewer];
        let drain = [Action::TimeNewer(None), Action::Discourage, Action::SetDeadline(SHUTDOWN)];
        let expected = match state {
            Newer::Pausing { .. } | Newer::Committing { .. } => [&released[..], &drain].concat(),
            Newer::Leaving => vec![Action::Exit],
            _ => released.to_vec(),
        };
        assert_eq!(actions, expected, "{state:?}");
        match state {
            Newer::TakingSockets | Newer::TakingCounts | Newer::Warming => {
                assert_eq!(machine.newer, Newer::None);
            }
            Newer::Leaving => {}
            _ => {
                assert_eq!(machine.newer, Newer::Released);
                assert_eq!(machine.step(Event::Deadline), [Action::Cut]);
                assert_eq!(machine.step(Event::Empty), [Action::Exit]);
            }
        }
    }
}

#[test]
fn the_older_process_withdraws_from_one_that_is_silent_or_talks_nonsense() {
    let nonsense = Event::NewerSaid(NewerSaid::Nonsense);
    for event in [Event::NewerSilent, nonsense] {
        for (state, mut machine) in as_older() {
            let actions = machine.step(event.clone());
            match state {
                Newer::Draining { .. } if event == Event::NewerSilent => {
                    assert_eq!(actions, [Action::Exit]);
                }
                // The other one is the proxy, whatever it says.
                Newer::Draining { .. } => assert_eq!(machine.newer, Newer::Released),
                Newer::Leaving => assert_eq!(actions, [Action::Exit]),
                _ => {
                    assert_eq!(actions[0], Action::SayWithdrawn, "{state:?}");
                    assert_eq!(machine.newer, Newer::None, "{state:?}");
                    let has_paused =
                        matches!(state, Newer::Pausing { .. } | Newer::Committing { .. });
                    assert_eq!(actions.contains(&Action::Resume), has_paused, "{state:?}");
                }
            }
        }
    }
}

#[test]
fn a_newer_process_that_ends_in_good_order_brings_the_older_back_only_before_it_was_the_proxy() {
    for (state, mut machine) in as_older() {
        let actions = machine.step(ENDING);
        match state {
            Newer::Draining { .. } => {
                let ends = Action::SetDeadline(DRAIN);
                assert_eq!(actions, [Action::TimeNewer(None), Action::ForgetNewer, ends]);
                assert_eq!(machine.newer, Newer::Released);
            }
            Newer::Leaving => assert_eq!(actions, [Action::Exit]),
            _ => assert_eq!(machine.newer, Newer::None, "{state:?}"),
        }
    }
}

#[test]
fn the_newer_process_goes_on_when_the_older_dies() {
    for (state, mut machine) in as_newer() {
        let actions = machine.step(OLDER_DIES);
        let forget = [Action::TimeOlder(None), Action::ForgetOlder];
        match state {
            Older::Greeting { .. } | Older::Receiving { has_sockets: false } => {
                assert_eq!(actions, [Action::FindOlder]);
                // Nobody, or the one before that one.
                assert_eq!(machine.step(Event::NoOlder)[1], Action::StartAlone);
            }
            Older::Receiving { has_sockets: true } => {
                let time = Action::TimeOlder(Some(WARM));
                assert_eq!(actions, [Action::ForgetOlder, time, Action::Start]);
                let open = [Action::TimeOlder(None), Action::Open, Action::ServePages];
                assert_eq!(machine.step(Event::Warm), open);
            }
            Older::Warming => {
                assert_eq!(actions, [Action::ForgetOlder]);
                // What there is serves, when it does not become warm.
                let open = [Action::TimeOlder(None), Action::Open, Action::ServePages];
                assert_eq!(machine.step(Event::OlderSilent), open);
            }
            Older::Committing => {
                assert_eq!(actions, [&forget[..], &[Action::ServePages]].concat());
            }
            Older::Draining => assert_eq!(actions, forget),
            Older::None => unreachable!(),
        }
        assert_eq!((machine.older, machine.own), (Older::None, Own::Serving), "{state:?}");
    }
}

#[test]
fn the_newer_process_fails_when_the_older_goes_on_without_it() {
    let nonsense = Event::OlderSaid(OlderSaid::Nonsense);
    for event in [WITHDRAWN, nonsense, Event::OlderSilent, OLDER_CLOSES] {
        for (state, mut machine) in as_newer() {
            let actions = machine.step(event.clone());
            let expected = match (state, &event) {
                (Older::Draining, _) => vec![Action::TimeOlder(None), Action::ForgetOlder],
                (Older::Greeting { .. }, &OLDER_CLOSES) => vec![Action::FindOlder],
                // It accepts: who said nothing against it drains.
                (Older::Committing, Event::OlderSilent | &OLDER_CLOSES) => {
                    vec![Action::TimeOlder(None), Action::ForgetOlder, Action::ServePages]
                }
                (Older::Warming, Event::OlderSilent) => vec![Action::Fail(Failure::NotWarm)],
                (_, Event::OlderSilent) => vec![Action::Fail(Failure::Silent)],
                (_, &WITHDRAWN | &OLDER_CLOSES) => vec![Action::Fail(Failure::Withdrawn)],
                _ => vec![Action::Fail(Failure::Nonsense)],
            };
            assert_eq!(actions, expected, "{state:?} {event:?}");
        }
    }
}

#[test]
fn one_that_ends_every_connection_is_not_asked_for_ever() {
    let mut machine = machine();
    for _ in 0..ATTEMPTS {
        assert_eq!(machine.step(Event::OlderFound)[0], Action::SayHello);
        assert_eq!(machine.step(OLDER_CLOSES), [Action::FindOlder]);
    }
    assert_eq!(machine.step(Event::OlderFound), [Action::Fail(Failure::Silent)]);
}

#[test]
fn a_refusal_says_why() {
    let refused = |reason| {
        let mut machine = machine();
        machine.step(Event::OlderFound);
        machine.step(Event::OlderSaid(OlderSaid::Refused { reason, version: 9 }))
    };
    assert_eq!(refused(Reason::Version), [Action::Fail(Failure::Version { theirs: 9 })]);
    for reason in [Reason::Busy, Reason::Starting, Reason::Ending, Reason::Epoch] {
        assert!(matches!(refused(reason)[..], [Action::Fail(Failure::Refused(_))]));
    }
}

#[test]
fn who_asks_at_the_wrong_time_is_refused() {
    let ask = |machine: &mut Machine| machine.step(Event::Asked(hello(9)));
    for (state, mut machine) in as_older() {
        assert_eq!(ask(&mut machine), [Action::Refuse(Reason::Busy)], "{state:?}");
        assert_eq!(machine.newer, state);
    }
    for (state, mut machine) in as_newer() {
        let actions = ask(&mut machine);
        match state {
            Older::Draining => assert_eq!(machine.newer, Newer::Waiting),
            _ => assert_eq!(actions, [Action::Refuse(Reason::Starting)], "{state:?}"),
        }
    }
    let other = Hello { version: VERSION + 1, ..hello(9) };
    assert_eq!(machine().step(Event::Asked(other)), [Action::Refuse(Reason::Version)]);
    for epoch in [0, EPOCH] {
        let actions = machine().step(Event::Asked(hello(epoch)));
        assert_eq!(actions, [Action::Refuse(Reason::Epoch)]);
    }
    for event in [Event::Terminate, Event::Closed] {
        let mut machine = machine();
        machine.step(event);
        assert_eq!(ask(&mut machine), [Action::Refuse(Reason::Ending)]);
    }
}

#[test]
fn a_third_process_waits_until_the_first_has_left() {
    for gone in [Event::OlderSaid(OlderSaid::Left), OLDER_DIES, OLDER_CLOSES, Event::OlderSilent] {
        let mut machine = as_newer().pop().unwrap().1;
        let wait = Action::SayWait(SHUTDOWN + MARGIN);
        let actions = machine.step(Event::Asked(hello(5)));
        assert_eq!(actions, [Action::Admit, wait, Action::TimeNewer(None)]);
        let actions = machine.step(gone);
        let time = Action::TimeNewer(SHORTLY);
        assert!(actions.ends_with(&[Action::LoadSockets, Action::SayWelcome, time]));
        assert_eq!(machine.newer, Newer::TakingSockets);
    }
    // Unless it goes.
    let mut machine = as_newer().pop().unwrap().1;
    machine.step(Event::Asked(hello(5)));
    machine.step(NEWER_DIES);
    let actions = machine.step(OLDER_DIES);
    assert_eq!(actions, [Action::TimeOlder(None), Action::ForgetOlder]);
}

#[test]
fn asked_to_end_the_newer_process_ends_or_takes_over_first() {
    for (state, mut machine) in as_newer() {
        let actions = machine.step(Event::Terminate);
        match state {
            Older::Draining => assert_eq!(actions, [Action::SayEnding, Action::End]),
            Older::Committing => {
                assert_eq!(actions, []);
                let actions = machine.step(LAST_COUNTS);
                assert!(actions.ends_with(&[Action::SayEnding, Action::End]));
            }
            _ => assert_eq!(actions, [Action::Exit], "{state:?}"),
        }
    }
}

#[test]
fn asked_to_end_the_older_process_hands_over_first() {
    for (state, machine) in as_older() {
        let terminated = |machine: &Machine| {
            let mut machine = Machine { ..*machine };
            (machine.step(Event::Terminate), machine)
        };
        let (actions, mut machine) = terminated(&machine);
        match state {
            Newer::Draining { .. } => assert_eq!(actions, [Action::SetDeadline(DRAIN)]),
            Newer::Leaving => assert_eq!(actions, []),
            _ => {
                assert_eq!(actions, [], "{state:?}");
                // When the newer process does not make it.
                let (_, mut alone) = terminated(&machine);
                assert_eq!(alone.step(NEWER_DIES).last(), Some(&Action::End), "{state:?}");
                // When it does, the connections have no longer than at any other end.
                for event in [Event::AllSent, Event::AllSent, ready(), Event::PagesStopped] {
                    machine.step(event);
                }
                let last = machine.step(Event::AllSent);
                let shorter = Action::SetDeadline(DRAIN);
                assert!(last.contains(&shorter) || machine.newer != state, "{state:?}");
            }
        }
    }
    let mut alone = machine();
    assert_eq!(alone.step(Event::Terminate), [Action::End]);
    let mut waiting = as_newer().pop().unwrap().1;
    waiting.step(Event::Asked(hello(5)));
    let actions = waiting.step(Event::Terminate);
    let refused = [Action::SayRefused(Reason::Ending), Action::ForgetNewer];
    assert_eq!(actions, [&refused[..], &[Action::SayEnding, Action::End]].concat());
}

#[test]
fn with_its_listeners_drained_a_process_has_nothing_to_hand_over() {
    for (state, mut machine) in as_older() {
        let actions = machine.step(Event::Closed);
        match state {
            Newer::TakingSockets | Newer::TakingCounts | Newer::Warming => {
                assert_eq!(actions[0], Action::SayWithdrawn);
            }
            _ => assert_eq!(actions, [], "{state:?}"),
        }
    }
}
