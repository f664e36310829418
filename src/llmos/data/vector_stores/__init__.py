"""Vector stores, as OpenAI's API has them: knowledge whose documents are files of /v1/files.

    stores = VectorStores(database, knowledge)
    store = stores.create("acme", name="FAQ")                # its documents are the knowledge named like its id
    stores.attach("acme", store.id, [Attachment(file_id="file-…")], batch=False)
    sync_files(...)                                          # what the job vector_store_sync does: syncing.py

The rows of files say what a search may find: a file that was taken out isn't found from then on, though its chunks
leave the index with the next version.

Lower layers don't know higher ones:

    syncing
    vector_stores
    queries | records
    tables
"""
