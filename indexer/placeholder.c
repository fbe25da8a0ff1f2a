/* Nothing yet. */
int indexer_placeholder(void);
int indexer_placeholder(void)
{
    return 0;
}
