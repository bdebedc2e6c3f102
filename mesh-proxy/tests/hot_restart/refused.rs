//! What cannot take over says why, and harms nobody.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::common::{listener, tcp_proxy};
use crate::load::Load;
use crate::site::{Site, page};

/// A frame with an envelope of one field, which is shorter than 128 bytes.
fn frame(field: u8, message: &[u8]) -> Vec<u8> {
    let magic = b"mesh-hot-restart\n";
    let envelope = [&[field << 3 | 2, message.len() as u8], message].concat();
    let length = (magic.len() + envelope.len()) as u32;
    [&length.to_be_bytes()[..], magic, &envelope].concat()
}

#[test]
fn a_bad_configuration_leaves_the_running_process_alone() {
    let site = Site::new();
    let mut old = site.first(&[]);
    let load = Load::start(site.http, 2);
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let in_use = listener("more", taken, "", &tcp_proxy("cluster: hello"));
    let bad = listener("more", taken, "", &tcp_proxy("cluster: nowhere, no_such_field: 1"));
    for (name, more, said) in [("bad", bad, "no_such_field"), ("used", in_use, "already in use")] {
        let mut new = site.start_with(&site.file(name, &[more]), 1, &[]);
        assert_eq!(new.wait().code(), Some(1));
        assert!(new.log().contains(said), "{}", new.log());
        load.until_more(10);
        assert_eq!(site.epoch(), Some(0));
    }
    assert!(old.exited().is_none());
    // And then a good one takes over.
    let _new = site.start(1, &["--drain-time-s", "1"]);
    site.until_epoch(1);
    load.until_more(10);
    load.end().assert_nothing_lost();
}

#[test]
fn another_version_is_refused_with_an_exit_code_of_its_own() {
    let site = Site::new();
    // An old process of version 9: it refuses with reason 1.
    let listener = UnixListener::bind(site.socket(0)).unwrap();
    std::thread::spawn(move || {
        for io in listener.incoming() {
            let mut io = io.unwrap();
            let _ = io.read(&mut [0; 1024]);
            let _ = io.write_all(&frame(2, &[0x08, 1, 0x10, 9]));
        }
    });
    let mut new = site.start(1, &[]);
    assert_eq!(new.wait().code(), Some(3), "{}", new.log());
    assert!(new.log().contains("version 9"), "{}", new.log());
}

#[test]
fn what_asks_in_another_version_or_talks_nonsense_is_refused_and_harms_nobody() {
    let site = Site::new();
    let mut old = site.first(&[]);
    let ask = |bytes: &[u8]| {
        let mut io = UnixStream::connect(site.socket(0)).unwrap();
        io.set_read_timeout(Some(mesh_testkit::DEADLINE)).unwrap();
        io.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = io.read_to_end(&mut answer);
        answer
    };
    // Hello of version 9, epoch 5, process 1.
    let refused = ask(&frame(1, &[0x08, 9, 0x10, 5, 0x18, 1]));
    // Refused because of the version, which is 1.
    let head = b"mesh-hot-restart\n\x12";
    assert!(refused[4..].starts_with(head), "{refused:?}");
    assert!(refused[4 + head.len() + 1..].starts_with(&[0x08, 1, 0x10, 1]), "{refused:?}");
    assert_eq!(ask(b"GET / HTTP/1.1\r\n\r\n"), b"");
    assert_eq!(ask(&[0xff; 64]), b"");
    assert!(old.exited().is_none());
    let _new = site.start(1, &[]);
    site.until_epoch(1);
}

#[test]
fn a_base_id_in_use_and_a_folder_open_to_others_are_named() {
    let site = Site::new();
    let old = site.first(&[]);
    let mut second = site.start(0, &[]);
    assert_eq!(second.wait().code(), Some(1));
    let named = format!("process {}", old.id());
    assert!(
        second.log().contains(&named) && second.log().contains("base id 0"),
        "{}",
        second.log()
    );
    assert_eq!(site.epoch(), Some(0));

    let folder = site.socket(0).parent().unwrap().to_owned();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let mut third = site.start(1, &[]);
    assert_eq!(third.wait().code(), Some(1));
    assert!(third.log().contains("may be written by others"), "{}", third.log());
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn an_epoch_without_a_place_is_a_mistake() {
    let site = Site::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
    command.arg("-c").arg(site.file("proxy.yaml", &[])).args(["--restart-epoch", "1"]);
    let mut process = mesh_testkit::Process::start("epoch 1", &mut command);
    assert_eq!(process.wait().code(), Some(1));
    assert!(process.log().contains("needs --socket-path or --base-id"), "{}", process.log());
}

#[test]
fn the_socket_of_a_dead_process_is_no_obstacle() {
    let site = Site::new();
    let mut old = site.first(&[]);
    old.kill();
    assert!(site.socket(0).exists());
    // Whether it is a new start, or one that expected somebody.
    for epoch in [1, 0] {
        let mut next = site.start(epoch, &[]);
        site.until_epoch(epoch);
        assert!(page(site.http, "/").is_some());
        assert_eq!(site.socket(0).exists(), epoch == 0);
        next.kill();
    }
}
