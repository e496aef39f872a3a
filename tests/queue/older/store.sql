-- What earlier versions kept beside the jobs.
CREATE TABLE storycore_tts_secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
INSERT INTO storycore_tts_secrets VALUES ('ids', X'a5a50a565900c831c81e57fbc2dd2e9c8a74258c6eb057096d6c3b45cd7a518a');
CREATE TABLE storycore_tts_results (job_id TEXT PRIMARY KEY, document TEXT NOT NULL, media_type TEXT NOT NULL, etag TEXT NOT NULL, audio BLOB NOT NULL);
INSERT INTO storycore_tts_results VALUES ('5145e65c-3a5f-4313-ac7d-6176aa474a40', '{"state": "succeeded", "facts": {"text": "succeeded"}, "media_type": "audio/wav", "ended": 1795945551760}', 'audio/wav', '5dceaeceb6d8a49d3665594710ace68dfbc1800e2d663d7febb302b4dbee3d27', X'737563636565646564');
INSERT INTO storycore_tts_results VALUES ('0501f470-04a5-4fc7-9159-4285d7139020', '{"state": "succeeded", "facts": {"text": "kept"}, "media_type": "audio/wav", "ended": 1}', 'audio/wav', '79f076abdd19a752db7267bfff2f9022161d120dea919fdaca2ffdfc24ca8c96', X'6b657074');
CREATE TABLE storycore_tts_sites (job_id TEXT PRIMARY KEY, url TEXT NOT NULL, machine TEXT NOT NULL);
INSERT INTO storycore_tts_sites VALUES ('0501f470-04a5-4fc7-9159-4285d7139020', 'http://gpu:8188', '');
INSERT INTO storycore_tts_sites VALUES ('e182ed7f-7483-4122-a45a-241c5f68c5a2', 'http://gpu:8188', '');
CREATE TABLE storycore_tts_uploads (id TEXT PRIMARY KEY, owner TEXT NOT NULL, used BIGINT NOT NULL, data BLOB NOT NULL);
INSERT INTO storycore_tts_uploads VALUES ('up_15f7a117bd1dc6e874e615798ef3a95ef75965fbb23d07cd', 'b43a6de9e0bbb0d171df98115a1c0e82cf09f90b5176411dcaa15fac01b9d751', 1795945552095, X'7265636f7264696e67');
