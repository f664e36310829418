BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0020');
CREATE TABLE alias_moves (
	id INTEGER NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	number INTEGER, 
	moved_at DATETIME NOT NULL, moved_by VARCHAR(128), 
	CONSTRAINT pk_alias_moves PRIMARY KEY (id), 
	CONSTRAINT fk_alias_moves_model_models FOREIGN KEY(model) REFERENCES models (name)
);
CREATE TABLE api_keys (
	number INTEGER NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	project VARCHAR(64) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	role VARCHAR(32) NOT NULL, 
	hmac VARCHAR(64) NOT NULL, 
	old_hmac VARCHAR(64), 
	old_expires_at DATETIME, 
	pepper_id VARCHAR(16) NOT NULL, 
	ends_with VARCHAR(8) NOT NULL, 
	routes JSON NOT NULL, 
	addresses JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(128), 
	expires_at DATETIME, 
	rotated_at DATETIME, 
	revoked_at DATETIME, 
	revoked_by VARCHAR(128), 
	last_used_at DATETIME, limits JSON DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_api_keys PRIMARY KEY (number), 
	CONSTRAINT uq_api_keys_id UNIQUE (id), 
	CONSTRAINT uq_api_keys_hmac UNIQUE (hmac)
);
CREATE TABLE applied_guardrail_policies (
	number INTEGER NOT NULL, 
	scope VARCHAR(16) NOT NULL, 
	target VARCHAR(256) NOT NULL, 
	policy VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(128), 
	CONSTRAINT pk_applied_guardrail_policies PRIMARY KEY (number), 
	CONSTRAINT uq_applied_guardrail_policies_scope_target_policy UNIQUE (scope, target, policy)
);
CREATE TABLE batches (
	number INTEGER NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	endpoint VARCHAR(64) NOT NULL, 
	input_file_id VARCHAR(64) NOT NULL, 
	output_file_id VARCHAR(64), 
	error_file_id VARCHAR(64), 
	status VARCHAR(16) NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	entered JSON NOT NULL, 
	labels JSON, 
	num_total INTEGER NOT NULL, 
	num_completed INTEGER NOT NULL, 
	num_failed INTEGER NOT NULL, 
	usage JSON NOT NULL, 
	problems JSON NOT NULL, key_id VARCHAR(64), 
	CONSTRAINT pk_batches PRIMARY KEY (number), 
	CONSTRAINT uq_batches_id UNIQUE (id)
);
CREATE TABLE cards (
	digest VARCHAR(71) NOT NULL, 
	measured_at DATETIME NOT NULL, 
	card TEXT NOT NULL, 
	CONSTRAINT pk_cards PRIMARY KEY (digest)
);
CREATE TABLE deployment_events (
	id INTEGER NOT NULL, 
	deployment VARCHAR(80) NOT NULL, 
	at DATETIME NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	reason TEXT NOT NULL, 
	data JSON NOT NULL, actor VARCHAR(256), 
	CONSTRAINT pk_deployment_events PRIMARY KEY (id)
);
CREATE TABLE deployments (
	model VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	ref VARCHAR(256) NOT NULL, 
	min_replicas INTEGER NOT NULL, 
	max_replicas INTEGER NOT NULL, 
	runner VARCHAR(32) NOT NULL, 
	options JSON NOT NULL, 
	idle_seconds INTEGER, 
	keep_warm BOOLEAN NOT NULL, 
	forced BOOLEAN NOT NULL, 
	asleep BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	removed_at DATETIME, 
	CONSTRAINT pk_deployments PRIMARY KEY (model, number)
);
CREATE TABLE files (
	number INTEGER NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	filename TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_files PRIMARY KEY (number), 
	CONSTRAINT uq_files_id UNIQUE (id)
);
CREATE TABLE guardrail_policies (
	number INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	digest VARCHAR(80) NOT NULL, 
	document JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(128), 
	removed_at DATETIME, 
	removed_by VARCHAR(128), 
	CONSTRAINT pk_guardrail_policies PRIMARY KEY (number), 
	CONSTRAINT uq_guardrail_policies_name_version UNIQUE (name, version)
);
CREATE TABLE jobs (
	number INTEGER NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	request JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	is_attached BOOLEAN NOT NULL, 
	progress JSON NOT NULL, 
	result JSON, 
	error JSON, 
	actor VARCHAR(256), 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, project VARCHAR(64) DEFAULT 'owner' NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (number), 
	CONSTRAINT uq_jobs_id UNIQUE (id)
);
CREATE TABLE label_changes (
	id INTEGER NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	value TEXT, 
	changed_at DATETIME NOT NULL, 
	changed_by VARCHAR(128), 
	CONSTRAINT pk_label_changes PRIMARY KEY (id), 
	CONSTRAINT fk_label_changes_model_models FOREIGN KEY(model) REFERENCES models (name)
);
CREATE TABLE limit_buckets (
	scope VARCHAR(128) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	full_at BIGINT NOT NULL, 
	CONSTRAINT pk_limit_buckets PRIMARY KEY (scope, kind)
);
CREATE TABLE limit_running (
	scope VARCHAR(128) NOT NULL, 
	server_id VARCHAR(64) NOT NULL, 
	num_running INTEGER NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_limit_running PRIMARY KEY (scope, server_id)
);
CREATE TABLE models (
	name VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_models PRIMARY KEY (name)
);
CREATE TABLE policies (
	project VARCHAR(64) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	value JSON NOT NULL, 
	updated_at DATETIME NOT NULL, 
	updated_by VARCHAR(128), 
	CONSTRAINT pk_policies PRIMARY KEY (project, name)
);
CREATE TABLE projects (
	name VARCHAR(64) NOT NULL, 
	description TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(128), 
	removed_at DATETIME, 
	removed_by VARCHAR(128), limits JSON DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (name)
);
CREATE TABLE providers (
	name VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	base_url TEXT NOT NULL, 
	sealed_key BLOB, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_providers PRIMARY KEY (name)
);
CREATE TABLE responses (
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	body TEXT NOT NULL, 
	items TEXT NOT NULL, 
	CONSTRAINT pk_responses PRIMARY KEY (id)
);
CREATE TABLE rollout_events (
	id INTEGER NOT NULL, 
	rollout INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	data JSON NOT NULL, actor VARCHAR(256), 
	CONSTRAINT pk_rollout_events PRIMARY KEY (id), 
	CONSTRAINT fk_rollout_events_rollout_rollouts FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
CREATE TABLE rollouts (
	id INTEGER NOT NULL, 
	route VARCHAR(64) NOT NULL, 
	target VARCHAR(256) NOT NULL, 
	"before" JSON NOT NULL, 
	steps JSON NOT NULL, 
	gate TEXT NOT NULL, 
	min_calls INTEGER NOT NULL, 
	max_hold_seconds INTEGER, 
	cases JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	step INTEGER NOT NULL, 
	step_began_at DATETIME NOT NULL, 
	baseline JSON NOT NULL, 
	scores JSON NOT NULL, 
	reason TEXT NOT NULL, 
	begun_by VARCHAR(256), 
	created_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	CONSTRAINT pk_rollouts PRIMARY KEY (id)
);
CREATE TABLE route_moves (
	id INTEGER NOT NULL, 
	route VARCHAR(64) NOT NULL, 
	moved_at DATETIME NOT NULL, 
	moved_by VARCHAR(256), 
	reason TEXT, 
	"before" JSON, 
	"after" JSON, 
	CONSTRAINT pk_route_moves PRIMARY KEY (id)
);
CREATE TABLE route_targets (
	route VARCHAR(64) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	place INTEGER NOT NULL, 
	target VARCHAR(256) NOT NULL, 
	percent DOUBLE, 
	CONSTRAINT pk_route_targets PRIMARY KEY (route, role, place), 
	CONSTRAINT fk_route_targets_route_routes FOREIGN KEY(route) REFERENCES routes (name) ON DELETE CASCADE
);
INSERT INTO "route_targets" VALUES('dialogue','weighted',0,'smollm2',100.0);
CREATE TABLE routes (
	name VARCHAR(64) NOT NULL, 
	updated_at DATETIME NOT NULL, sticky VARCHAR(16) DEFAULT 'user' NOT NULL, timeout_seconds DOUBLE, 
	CONSTRAINT pk_routes PRIMARY KEY (name)
);
INSERT INTO "routes" VALUES('dialogue','2026-11-29 23:02:30.495271','user',NULL);
CREATE TABLE signatures (
	id INTEGER NOT NULL, 
	version_digest VARCHAR(71) NOT NULL, 
	digest VARCHAR(71) NOT NULL, 
	signature TEXT NOT NULL, 
	added_at DATETIME NOT NULL, 
	CONSTRAINT pk_signatures PRIMARY KEY (id), 
	CONSTRAINT uq_signatures_version_digest_digest UNIQUE (version_digest, digest)
);
CREATE TABLE version_files (
	version_id INTEGER NOT NULL, 
	name VARCHAR(512) NOT NULL, 
	digest VARCHAR(71) NOT NULL, 
	size BIGINT NOT NULL, 
	CONSTRAINT pk_version_files PRIMARY KEY (version_id, name), 
	CONSTRAINT fk_version_files_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
CREATE TABLE versions (
	id INTEGER NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR(71) NOT NULL, 
	created_at DATETIME NOT NULL, 
	removed_at DATETIME, 
	source TEXT NOT NULL, 
	license VARCHAR(128), 
	format VARCHAR(32) NOT NULL, 
	family VARCHAR(64) NOT NULL, 
	quantization VARCHAR(64) NOT NULL, 
	parameters BIGINT NOT NULL, 
	context_length INTEGER, 
	sampling JSON NOT NULL, adapts INTEGER, parent VARCHAR(71), recipe JSON, made_by VARCHAR(128), 
	CONSTRAINT pk_versions PRIMARY KEY (id), 
	CONSTRAINT fk_versions_model_models FOREIGN KEY(model) REFERENCES models (name), 
	CONSTRAINT uq_versions_model_number UNIQUE (model, number), 
	CONSTRAINT uq_versions_model_digest UNIQUE (model, digest)
);
CREATE INDEX ix_version_files_digest ON version_files (digest);
CREATE INDEX ix_alias_moves_model_alias ON alias_moves (model, alias);
CREATE INDEX ix_responses_expires_at ON responses (expires_at);
CREATE INDEX ix_files_tenant ON files (tenant);
CREATE INDEX ix_batches_tenant ON batches (tenant);
CREATE INDEX ix_batches_status ON batches (status);
CREATE INDEX ix_deployment_events_deployment ON deployment_events (deployment);
CREATE INDEX ix_versions_digest ON versions (digest);
CREATE INDEX ix_route_targets_target ON route_targets (target);
CREATE INDEX ix_route_moves_route ON route_moves (route);
CREATE INDEX ix_label_changes_model_number_key ON label_changes (model, number, "key");
CREATE INDEX ix_rollouts_route ON rollouts (route);
CREATE INDEX ix_rollouts_state ON rollouts (state);
CREATE INDEX ix_rollout_events_rollout ON rollout_events (rollout);
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_api_keys_old_hmac ON api_keys (old_hmac);
CREATE INDEX ix_api_keys_project ON api_keys (project);
CREATE INDEX ix_jobs_project ON jobs (project);
CREATE INDEX ix_applied_guardrail_policies_policy ON applied_guardrail_policies (policy);
COMMIT;
