//! The fields that we know, do not honour and need not refuse: whoever set them gets what
//! they asked for, or loses nothing but a number in a statistic.

/// "Message.field", in groups by the reason.
const INERT: &[&str] = &[
    // Notes for other tools, which change no byte of the traffic.
    "Cluster.metadata",
    "Endpoint.observability_name",
    "FilterChain.metadata",
    "Listener.metadata",
    "LocalityLbEndpoints.metadata",
    "Route.decorator",
    "Route.metadata",
    "RouteConfiguration.metadata",
    "VirtualHost.metadata",
    // Statistics: which are made, under which names and tags, how often they are flushed
    // to sinks (which are refused).
    "Bootstrap.deferred_stat_options",
    "Bootstrap.enable_dispatcher_stats",
    "Bootstrap.stats_config",
    "Bootstrap.stats_eviction",
    "Bootstrap.stats_flush",
    "Bootstrap.stats_flush_interval",
    "Bootstrap.stats_server_version_override",
    "Cluster.stats_matcher",
    "Cluster.track_cluster_stats",
    "Cluster.track_timeout_budgets",
    "Listener.stat_prefix",
    "Listener.stats_matcher",
    "Route.stat_prefix",
    "Router.dynamic_stats",
    "Router.suppress_grpc_request_failure_code_stats",
    "VirtualHost.virtual_clusters",
    // How Envoy is built inside: its threads, parsers, allocator.
    "Admin.ignore_global_conn_limit", // the limit does not count the pages' connections
    "Admin.profile_path",
    "Bootstrap.enable_worker_cpu_affinity",
    "Bootstrap.grpc_async_client_manager_config",
    "Bootstrap.inline_headers",
    "Bootstrap.memory_allocator_manager",
    "Bootstrap.perf_tracing_file_path",
    "Bootstrap.watchdog",
    "Bootstrap.watchdogs",
    "ClusterManager.enable_deferred_cluster_creation",
    "EnvoyGrpc.max_receive_message_length",
    "EnvoyGrpc.skip_envoy_headers",
    "HealthCheck.always_log_health_check_failures", // no event log: it is refused
    "HealthCheck.always_log_health_check_success",
    "HeaderValueOption.keep_empty_value",
    "Http1ProtocolOptions.use_balsa_parser",
    "Http2ProtocolOptions.enable_huffman_encoding",
    "Http2ProtocolOptions.hpack_table_size",
    "Http2ProtocolOptions.max_consecutive_inbound_frames_with_empty_payload",
    "Http2ProtocolOptions.max_inbound_priority_frames_per_stream",
    "Http2ProtocolOptions.max_inbound_window_update_frames_per_data_frame_sent",
    "Http2ProtocolOptions.max_outbound_control_frames",
    "Http2ProtocolOptions.max_outbound_frames",
    "Http2ProtocolOptions.use_oghttp2_codec",
    "Listener.bypass_overload_manager", // the overload manager is refused
    "Listener.max_connections_to_accept_per_socket_event",
    "TlsInspector.initial_read_buffer_size",
    // The second GOAWAY follows as soon as the client has answered a ping: it has then seen
    // the first one. The time is only waited for a client that does not answer.
    "HttpConnectionManager.drain_timeout",
    // Without effect, because what they are about is refused where asked for.
    "AccessLogFormat.content_type",
    "AccessLogFormat.json_format_options",
    "HttpFault.abort_grpc_status_runtime", // no runtime
    "HttpFault.abort_http_status_runtime",
    "HttpFault.abort_percent_runtime",
    "HttpFault.delay_duration_runtime",
    "HttpFault.delay_percent_runtime",
    "HttpFault.disable_downstream_cluster_stats", // a client does not say what is counted
    "HttpFault.max_active_faults_runtime",
    "HttpFault.response_rate_limit_percent_runtime",
    "LocalRateLimit.always_consume_default_token_bucket", // descriptors are refused
    "LocalRateLimit.max_dynamic_descriptors",
    "LocalRateLimit.stage",
    "LocalRateLimit.vh_rate_limits",
    "ApiConfigSource.set_node_on_first_message_only",
    "Cluster.cleanup_interval",
    "CommonLbConfig.update_merge_window",
    "CertificateValidationContext.only_verify_leaf_cert_crl", // revocation lists are refused
    "DownstreamTlsContext.disable_stateful_session_resumption", // by tickets alone
    "DownstreamTlsContext.full_scan_certs_on_sni_mismatch",   // one certificate
    "HttpConnectionManager.add_proxy_protocol_connection_state",
    "LocalityLbEndpoints.proximity",
    "ZoneAwareLbConfig.min_cluster_size", // no local cluster: no zone to be aware of
    "ZoneAwareLbConfig.routing_enabled",
    "RequestMirrorPolicy.trace_sampled",             // no tracer
    "Route.tracing",                                 // no tracer
    "RetryPolicy.host_selection_retry_max_attempts", // ours looks until it has another one
    "Router.reject_connect_request_early_data",
    "UpstreamTlsContext.enforce_rsa_key_usage", // keys only sign: no suite encrypts with them
    "WeightedCluster.runtime_key_prefix",       // no runtime
];

/// Whether `field`, as "Message.field", may be set without effect.
pub(super) fn is_inert(field: &str) -> bool {
    INERT.contains(&field)
}
