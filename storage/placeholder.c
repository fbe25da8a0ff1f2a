/* Nothing yet. */
int storage_placeholder(void);
int storage_placeholder(void)
{
    return 0;
}
