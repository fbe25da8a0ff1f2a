/* Nothing yet. */
int searchd_placeholder(void);
int searchd_placeholder(void)
{
    return 0;
}
